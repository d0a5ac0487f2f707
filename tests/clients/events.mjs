// A page's OpenFeature client, in Node: prints the arm of a flag whenever the gateway tells of a change.
import { EventSource } from 'eventsource';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

globalThis.EventSource = EventSource;
const [baseUrl, flag, targetingKey] = process.argv.slice(2);
await OpenFeature.setContext({ targetingKey });
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl, cacheMode: 'disabled' }));
const client = OpenFeature.getClient();
const say = () => console.log(JSON.stringify([client.getStringValue(flag, ''), Date.now()]));
say();
client.addHandler(ProviderEvents.ConfigurationChanged, say);
