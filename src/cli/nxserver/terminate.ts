/** `--terminate`: of a user, `:display`, id or `*`. Runs in: launcher. */
import { endDesktops } from './end-desktops.ts';
import type { NxOrder } from './order.ts';

export const terminate: NxOrder = {
  name: 'terminate',
  value: 'needed',
  describe: 'end desktops: of a user, :display, id, or * for all',
  run: ({ value }) => endDesktops('terminate', 'Terminating', value),
};
