/**
 * The dialogue of the account `nx`: it begins with the user's login, then goes on as the subsystem
 * `display`. Runs in: worker.
 */
import type { LoginContext } from './desktops.ts';
import { dialogueOn } from './display.ts';
import type { DisplayChannel } from './viewer-channel.ts';

export function handshake(channel: DisplayChannel, context: LoginContext): void {
  dialogueOn(channel, context, 'login');
}
