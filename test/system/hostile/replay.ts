/** Plays an old exchange and a recorded signature again on a connection of its own. Runs in: worker. */
import * as link from '../../../src/monitor/link.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

async function replay({ peer, recorded }: Captive, connection: number): Promise<void> {
  const find = (name: string) => recorded.find((one) => one.name === name)?.values as never;
  const exchange = find('sign-exchange') as object | undefined;
  const begun = find('userauth-begin') as object | undefined;
  const checked = find('check-key') as object | undefined;
  if (exchange === undefined || begun === undefined || checked === undefined) {
    report({ attack: 'replay', missing: recorded.map(({ name }) => name) });
    return;
  }
  const again = async (request: never, values: object) =>
    (await attempt(peer, request, { ...values, connection } as never)).outcome;
  const signed = await again(link.SignExchange as never, exchange);
  await again(link.UserauthBegin as never, begun);
  await again(link.CheckKey as never, checked);
  const opened = await again(link.SessionOpen as never, {});
  report({ attack: 'replay', signed, opened });
}

runHostileWorker((captive, { connection }, ordinal) => {
  if (ordinal === 1) {
    return false; // the victim logs in
  }
  void replay(captive, connection);
  return true;
});
