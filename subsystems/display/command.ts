/** What a command of the dialogue is, and what it may answer. Rows are in `commands/`. Pure. */
import type { Desktop, Desktops, Viewer } from './desktops.ts';
import type { Parameters } from './parameters.ts';

/**
 * `login`: before the user is known (the account `nx` of old clients); `ready`: at the prompt;
 * `session`: a desktop stands behind the dialogue and `bye` leads to it.
 */
export const phases = ['login', 'ready', 'session'] as const;
export type Phase = (typeof phases)[number];

export interface Reply {
  /** Without line ends; each is a line of its own. */
  readonly lines: readonly string[];
  /** What follows: the prompt, the end, or the desktop's own protocol. */
  readonly then: 'prompt' | 'close' | 'tunnel';
}

export interface CommandContext {
  readonly desktops: Desktops;
  readonly hostName: string;
  /** As the greeting shows it. */
  readonly version: string;
  /**
   * Shows the lines, then asks for one more of the client's; undefined: none will come. `isShown`: it
   * is no secret, so that a terminal may show it. Its bytes are whoever's asked, to be erased.
   */
  ask(lines: readonly string[], isShown: boolean): Promise<Buffer | undefined>;
  /** The dialogue owns the viewer from here on; one that was there before is ended. */
  setSession(desktop: Desktop, viewer: Viewer): void;
}

export interface Command {
  readonly verb: string;
  readonly phases: readonly Phase[];
  /** Asked for with `NX> 106` when the command comes without. */
  readonly takesParameters: boolean;
  run(context: CommandContext, parameters: Parameters): Promise<Reply> | Reply;
}

export function prompt(lines: readonly string[]): Reply {
  return { lines, then: 'prompt' };
}
