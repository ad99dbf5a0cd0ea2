/** The commands of `sshdesk keys`. Adding one is one file and one row. Runs in: user. */
import type { CommandModule } from 'yargs';
import { add } from './add.ts';
import { list } from './list.ts';

// biome-ignore lint/suspicious/noExplicitAny: each command has arguments of its own
export const keysCommands: readonly CommandModule<any, any>[] = [add, list];
