/**
 * A channel that is RFB: joins it with the stream of a viewer. A viewer always meets this process,
 * never the X server's socket itself. Runs in: worker, user (`sshdesk subsystem`).
 */
import type { Channel } from '../../src/ssh/connection/channel.ts';
import {
  destroyWhenWritten,
  type FeedChannel,
  feed,
  type PumpOutlet,
  pump,
} from '../../src/ssh/connection/pump.ts';
import type { Viewer } from './desktops.ts';

/** What a subsystem needs of its channel: one of ours, or the standard streams under another sshd. */
export interface DisplayChannel
  extends FeedChannel,
    Pick<Channel, 'isClosed' | 'onClose' | 'sendEof' | 'sendExitStatus' | 'close'> {
  readonly out: PumpOutlet;
  readonly err: Pick<PumpOutlet, 'write'>;
}

/** A session channel has stderr and an exit status; a forwarded one (direct-tcpip) has neither. */
export type ChannelKind = 'session' | 'forwarded';

/** `unread`: bytes that a dialogue has read already and that belong to RFB. */
export function joinViewer(
  channel: DisplayChannel,
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
export function closeWithText(
  channel: DisplayChannel,
  lines: readonly string[],
  status: number,
): void {
  if (lines.length > 0) {
    channel.err.write(Buffer.from(lines.map((line) => `${line}\r\n`).join('')));
  }
  channel.sendExitStatus(status);
  channel.close();
}
