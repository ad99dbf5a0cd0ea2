/** What a session channel can open inside a worker, by the name of its subsystem. Runs in: worker. */
import type { InternalSubsystem, SubsystemPaces } from '../src/session/host.ts';
import type { DisplayContext } from './display/desktops.ts';
import { display } from './display/display.ts';
import { rfb } from './display/rfb.ts';
import { SftpPace } from './sftp/pace.ts';
import type { DisplayChannel } from './display/viewer-channel.ts';

export const subsystems: ReadonlyMap<
  string,
  InternalSubsystem<DisplayChannel, DisplayContext>
> = new Map([
  ['rfb', rfb],
  ['display', display],
]);

/** For those that are processes of the user's. */
export const subsystemPaces: SubsystemPaces = new Map([['sftp', () => new SftpPace()]]);
