/** A `ForwardHost` that refuses everything; a test puts its own answers over it. */
import type { ForwardHost } from '../../src/forwarding/host.ts';

const refused = { refused: 1, text: 'open failed' } as const;

export const noForwards: ForwardHost = {
  directTcpip: async () => refused,
  directStreamLocal: async () => refused,
  listenTcp: async () => undefined,
  listenStreamLocal: async () => undefined,
  closeListener: async () => {},
};
