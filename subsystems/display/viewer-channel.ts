/**
 * A channel that is RFB: joins it with the stream of a viewer. A viewer always meets this process,
 * never the X server's socket itself. Runs in: worker.
 */
import type { Channel } from '../../src/ssh/connection/channel.ts';
import { splice } from '../../src/ssh/connection/pump.ts';
import type { Viewer } from './desktops.ts';

/** A session channel has stderr and an exit status; a forwarded one (direct-tcpip) has neither. */
export type ChannelKind = 'session' | 'forwarded';

/** `unread`: bytes that a dialogue has read already and that belong to RFB. */
export function joinViewer(
  channel: Channel,
  viewer: Viewer,
  kind: ChannelKind,
  unread?: Buffer,
): void {
  const { stream } = viewer;
  let isToldStatus = false;
  const tellStatus = (): void => {
    if (kind === 'session' && !isToldStatus && !channel.isClosed) {
      isToldStatus = true;
      channel.sendExitStatus(0);
    }
  };
  const tell = (line: string): void => {
    if (kind === 'session' && !channel.isClosed) {
      channel.err.write(Buffer.from(`${line}\r\n`));
    }
  };
  viewer.onWarning = tell;
  // Before `splice` sends EOF: a status behind CLOSE would come too late.
  stream.on('end', tellStatus);
  stream.on('error', tellStatus);
  stream.on('close', tellStatus);
  splice(channel, stream, unread);
  viewer.onEnd = (why) => {
    tell(why);
    tellStatus();
    stream.destroy();
    channel.close();
  };
}

/** The end of a channel on which nothing but text went: `lines` on stderr, then the status. */
export function closeWithText(channel: Channel, lines: readonly string[], status: number): void {
  if (lines.length > 0) {
    channel.err.write(Buffer.from(lines.map((line) => `${line}\r\n`).join('')));
  }
  channel.sendExitStatus(status);
  channel.close();
}
