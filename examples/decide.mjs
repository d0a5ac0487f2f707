// The same as decide.py, for Node: npm install @openfeature/server-sdk @openfeature/ofrep-provider @openfeature/ofrep-core @openfeature/core
// seq 5 | node decide.mjs http://127.0.0.1:8016 greeting
import { createInterface } from 'node:readline';

import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';

const [gateway, route] = process.argv.slice(2);
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: gateway }));
const client = OpenFeature.getClient();

for await (const line of createInterface({ input: process.stdin })) {
  const requestId = line.trim();
  // Without a gateway the default answers. What was not drawn has no propensity.
  const found = await client.getStringDetails(route, 'v1', { targetingKey: requestId });
  const { propensity, epoch, seq } = found.flagMetadata;
  const prediction = { request_id: requestId, route, arm: found.value, prediction: 1, propensity, epoch, seq };
  const taken = await fetch(`${gateway}/v1/predictions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(prediction),
  });
  if (taken.status !== 202) throw new Error(await taken.text());
  console.log(`${requestId} ${found.value}`);
}
