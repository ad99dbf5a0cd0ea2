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
  /** In place of the line that was read; what a line of the server may not be taken for. */
  readonly echo?: string;
  /** Without line ends; each is a line of its own. */
  readonly lines: readonly string[];
  /** What follows: the prompt, the end, or the desktop's own protocol. */
  readonly then: 'prompt' | 'close' | 'tunnel';
}

/** A question that is none of PAM's. */
export interface LoginQuestion {
  /** With its blank, without a line end. */
  readonly promptText: string;
  /** The line that the last answer is shown as; undefined: as nothing. */
  readonly echo?: string;
}

export interface CommandContext {
  /** Behind the login only. */
  readonly desktops: Desktops;
  /** What stands behind the verb of a command without parameters. */
  readonly rest: string;
  /** What a session speaks whose client does not say it. */
  readonly defaultProtocol: string;
  /** `SET AUTH_MODE PASSWORD` was said: a secret that is empty is empty. */
  readonly hasPasswordMode: boolean;
  setPasswordMode(): void;
  readonly hostName: string;
  /** As the greeting shows it. */
  readonly version: string;
  /**
   * Shows the lines, then asks for one more of the client's; undefined: none will come. `isShown`: it
   * is no secret, so that a terminal may show it. Its bytes are whoever's asked, to be erased.
   */
  ask(lines: readonly string[], isShown: boolean): Promise<Buffer | undefined>;
  /** The same in front of the login: the answer is the line as it came, no escapes in it. */
  askLogin(question: LoginQuestion): Promise<Buffer | undefined>;
  /** Both are erased. The welcome; undefined: no, whatever the reason, and there is no second time. */
  login(user: Buffer, password: Buffer): Promise<string | undefined>;
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
