// Evaluates cases with an official provider, and prints what it answered as JSON.
// stdin: {"mode": "rpc"|"in-process"|"ofrep"|"web", "http": PORT, "grpc": PORT, "cases": [...], "change": null|{...}}
import { readFileSync } from 'node:fs';
import { EventSource } from 'eventsource';

const asked = JSON.parse(readFileSync(0, 'utf8'));
const baseUrl = `http://127.0.0.1:${asked.http}`;
const sdk = await import(asked.mode === 'web' ? '@openfeature/web-sdk' : '@openfeature/server-sdk');
const { OpenFeature } = sdk;
globalThis.EventSource = EventSource;

async function provider(options) {
  if (asked.mode === 'web') {
    const { OFREPWebProvider } = await import('@openfeature/ofrep-web-provider');
    const headers = options.selector ? [['flagd-selector', options.selector]] : [];
    return new OFREPWebProvider({ baseUrl, headers, cacheMode: 'disabled' });
  }
  if (asked.mode === 'ofrep') {
    const { OFREPProvider } = await import('@openfeature/ofrep-provider');
    return new OFREPProvider({ baseUrl, headers: options.selector ? [['flagd-selector', options.selector]] : [] });
  }
  const { FlagdProvider } = await import('@openfeature/flagd-provider');
  const more = options.selector ? { selector: options.selector } : {};
  return new FlagdProvider({ host: '127.0.0.1', port: asked.grpc, resolverType: asked.mode, cache: 'disabled', deadlineMs: 5000, ...more });
}

const GETTERS = { Boolean: 'getBooleanDetails', String: 'getStringDetails', Integer: 'getNumberDetails', Float: 'getNumberDetails', Object: 'getObjectDetails' };
const clients = new Map();

async function evaluate(each) {
  const domain = JSON.stringify(each.options);
  const context = each.targetingKey === null ? each.context : { ...each.context, targetingKey: each.targetingKey };
  if (asked.mode === 'web') await OpenFeature.setContext(domain, context);
  if (!clients.has(domain)) {
    await OpenFeature.setProviderAndWait(domain, await provider(each.options));
    clients.set(domain, OpenFeature.getClient(domain));
  }
  const client = clients.get(domain);
  const details = asked.mode === 'web' ? client[GETTERS[each.type]](each.key, each.default) : await client[GETTERS[each.type]](each.key, each.default, context);
  return { id: each.id, value: details.value, variant: details.variant ?? '', reason: details.reason ?? '', errorCode: details.errorCode ?? '', metadata: details.flagMetadata ?? {} };
}

const answers = [];
for (const each of asked.cases) answers.push(await evaluate(each));
if (asked.watch) {
  // Tell that we are ready, and how long after the word to do so the new value is here.
  const value = async () => (await evaluate({ ...asked.watch, id: 'watch' })).value;
  const before = await value();
  process.stdout.write(`ready ${JSON.stringify(before)}\n`);
  const until = Date.now() + 60_000;
  while ((await value()) === before && Date.now() < until) await new Promise((wake) => setTimeout(wake, 2));
  process.stdout.write(`changed ${JSON.stringify(await value())}\n`);
} else {
  process.stdout.write(JSON.stringify(answers) + '\n');
}
await OpenFeature.close();
process.exit(0);
