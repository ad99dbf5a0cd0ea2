/**
 * The subsystem `rfb` and the reserved host name of a direct-tcpip channel: the channel *is* RFB of
 * the user's default desktop, started if there is none. Runs in: worker.
 */
import {
  asRfb,
  type DesktopAnswer,
  type Desktops,
  type DisplayContext,
  type Viewer,
} from './desktops.ts';
import { closeWithText, type DisplayChannel, joinViewer } from './viewer-channel.ts';

const failedStatus = 1;
/**
 * EX_NOPERM of sysexits(3): nothing can be asked on this channel, and `display` can ask (DesktopReauth).
 * `sshdesk connect` goes there.
 */
const notPermittedStatus = 77;

/** For a channel that is not open yet: a refusal becomes CHANNEL_OPEN_FAILURE 2 with its text. */
export async function openDefaultDesktop(desktops: Desktops): Promise<DesktopAnswer<Viewer>> {
  const found = await desktops.findOrStart('');
  return found.is === 'done' ? desktops.attach(found.value.id, asRfb) : found;
}

async function open(channel: DisplayChannel, desktops: Desktops): Promise<void> {
  const opened = await openDefaultDesktop(desktops);
  if (opened.is === 'failed') {
    const status = opened.failure === 'reauthentication' ? notPermittedStatus : failedStatus;
    closeWithText(channel, [opened.text, ...opened.logTail], status);
  } else if (channel.isClosed) {
    opened.value.stream.destroy();
  } else {
    joinViewer(channel, opened.value, 'session');
  }
}

/** Without a desktop: why on stderr, exit status 1 and no byte of RFB. */
export function rfb(channel: DisplayChannel, { desktops, fault }: DisplayContext): void {
  open(channel, desktops).catch(fault);
}
