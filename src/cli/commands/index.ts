/** The commands, loaded when they are asked for. Adding one is one file and one row. Runs in: user. */
import type { CommandModule } from 'yargs';

export interface CommandRow {
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: each command has arguments of its own
  load(): Promise<CommandModule<any, any>>;
  /** A command whose last words are none of ours: they go behind `--`, untouched. */
  arrange?(words: readonly string[]): Promise<readonly string[]>;
}

export const commands: readonly CommandRow[] = [
  { name: 'start', load: async () => (await import('./start.ts')).start },
  { name: 'serve', load: async () => (await import('./serve.ts')).serve },
  { name: 'explain', load: async () => (await import('./explain.ts')).explain },
  { name: 'doctor', load: async () => (await import('./doctor.ts')).doctor },
  {
    name: 'connect',
    load: async () => (await import('./connect.ts')).connect,
    arrange: async (words) => (await import('./connect.ts')).arrangeConnect(words),
  },
  { name: 'profile', load: async () => (await import('./profile.ts')).profile },
  { name: 'keys', load: async () => (await import('./keys.ts')).keys },
  { name: 'sessions', load: async () => (await import('./sessions.ts')).sessions },
  { name: 'nxserver', load: async () => (await import('./nxserver.ts')).nxserver },
  { name: 'who', load: async () => (await import('./who.ts')).who },
  { name: 'last', load: async () => (await import('./last.ts')).last },
  { name: 'subsystem', load: async () => (await import('./subsystem.ts')).subsystem },
];
