/** `bye`: the last text byte is the line end behind 999; then the desktop's own protocol. Pure. */
import type { Command } from '../command.ts';

/** Without a session there is nothing to go on with. */
export const bye: Command = {
  verb: 'bye',
  phases: ['login', 'ready', 'session'],
  takesParameters: false,
  run: () => ({ lines: ['NX> 999 Bye.'], then: 'tunnel' }),
};
