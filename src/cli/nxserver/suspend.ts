/** `--suspend`: of a user, `:display`, id or `*`. Runs in: launcher. */
import { endDesktops } from './end-desktops.ts';
import type { NxOrder } from './order.ts';

export const suspend: NxOrder = {
  name: 'suspend',
  value: 'needed',
  describe: 'end the viewers of desktops: of a user, :display, id, or * for all',
  run: ({ value }) => endDesktops('suspend', 'Suspending', value),
};
