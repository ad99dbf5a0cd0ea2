/** The commands of `sshdesk profile`. Adding one is one file and one row. Runs in: user. */
import type { CommandModule } from 'yargs';
import { add } from './add.ts';
import { exportProfile } from './export.ts';
import { list } from './list.ts';
import { remove } from './remove.ts';
import { show } from './show.ts';

// biome-ignore lint/suspicious/noExplicitAny: each command has arguments of its own
export const profileCommands: readonly CommandModule<any, any>[] = [
  add,
  list,
  show,
  remove,
  exportProfile,
];
