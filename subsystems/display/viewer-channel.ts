/**
 * A channel that is RFB: joins it with the stream of a viewer. A viewer always meets this process,
 * never the X server's socket itself. Runs in: worker.
 */
import type { Channel } from '../../src/ssh/connection/channel.ts';
import { destroyWhenWritten, feed, pump } from '../../src/ssh/connection/pump.ts';
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
  const tell = (line: string): void => {
    if (kind === 'session' && !channel.isClosed) {
      channel.err.write(Buffer.from(`${line}\r\n`));
    }
  };
  viewer.onWarning = tell;
  const finish = (status: number): void => {
    if (!channel.isClosed) {
      channel.sendEof();
      if (kind === 'session') {
        channel.sendExitStatus(status);
      }
      channel.close();
    }
    stream.destroy();
  };
  const finishIfClientHas = (): void => {
    if (stream.writableEnded) {
      finish(0);
    }
  };
  // Where the display goes first, `onEnd` tells why and how it is to end.
  pump(stream, channel.out, finishIfClientHas);
  feed(channel, stream, finishIfClientHas, unread);
  channel.onClose(() => destroyWhenWritten(stream));
  viewer.onEnd = ({ why, status }) => {
    tell(why);
    finish(status);
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
