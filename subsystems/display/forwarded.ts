/**
 * The reserved host name of a direct-tcpip channel: the user's default desktop, for viewers that
 * want a port. A failure is CHANNEL_OPEN_FAILURE 2 with a line. Runs in: worker.
 */
import { openFailure } from '../../src/ssh/connection/messages.ts';
import type { OpenOutcome } from '../../src/ssh/connection/mux.ts';
import type { Desktops } from './desktops.ts';
import { openDefaultDesktop } from './rfb.ts';
import { joinViewer } from './viewer-channel.ts';

export async function forwardedDesktop(desktops: Desktops): Promise<OpenOutcome> {
  const opened = await openDefaultDesktop(desktops);
  if (opened.is === 'failed') {
    return { refused: openFailure.connectFailed, text: opened.text };
  }
  return {
    opened: (channel) => joinViewer(channel, opened.value, 'forwarded'),
    abandoned: () => opened.value.stream.destroy(),
  };
}
