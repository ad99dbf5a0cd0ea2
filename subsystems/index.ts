/** What a session channel can open inside a worker, by the name of its subsystem. Runs in: worker. */
import type { InternalSubsystem } from '../src/session/host.ts';
import type { DisplayContext } from './display/desktops.ts';
import { display } from './display/display.ts';
import { rfb } from './display/rfb.ts';
import type { DisplayChannel } from './display/viewer-channel.ts';

export const subsystems: ReadonlyMap<
  string,
  InternalSubsystem<DisplayChannel, DisplayContext>
> = new Map([
  ['rfb', rfb],
  ['display', display],
]);
