// Asks a gateway through OpenFeature for Node: lines of flag and targeting key, in hex, from standard input.
import { createInterface } from 'node:readline';

import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';

const baseUrl = process.argv[2];
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const client = OpenFeature.getClient();
const text = (hex) => Buffer.from(hex, 'hex').toString('utf8');
for await (const line of createInterface({ input: process.stdin })) {
  const [flag, targetingKey] = line.split('\t').map(text);
  const found = await client.getStringDetails(flag, '', { targetingKey });
  const { propensity, epoch } = found.flagMetadata;
  const told = [found.value, found.reason ?? '', propensity ?? '', epoch ?? '', found.errorCode ?? ''];
  console.log(JSON.stringify(told));
}
