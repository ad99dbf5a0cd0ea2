/** What a session channel can open inside a worker, by the name of its subsystem. Runs in: worker. */
import type { InternalSubsystem } from '../src/session/host.ts';
import type { Channel } from '../src/ssh/connection/channel.ts';
import type { DisplayContext } from './display/desktops.ts';
import { display } from './display/display.ts';
import { rfb } from './display/rfb.ts';

export const subsystems: ReadonlyMap<string, InternalSubsystem<Channel, DisplayContext>> = new Map([
  ['rfb', rfb],
  ['display', display],
]);
