/** The subsystem `display`: the dialogue on a channel, then the desktop itself. Runs in: worker. */
import { displayCommands } from './commands/index.ts';
import type { DisplayContext } from './desktops.ts';
import { Dialogue } from './dialogue.ts';
import { closeWithText, type DisplayChannel, joinViewer } from './viewer-channel.ts';

export function display(channel: DisplayChannel, context: DisplayContext): void {
  const dialogue: Dialogue = new Dialogue(
    {
      ...context,
      write: (bytes) => channel.out.write(bytes),
      ready: () => channel.sinkReady(),
      ended(end) {
        if (end.is === 'tunnel') {
          joinViewer(channel, end.viewer, 'session', end.unread);
        } else if (!channel.isClosed) {
          closeWithText(channel, [], end.status);
        }
      },
    },
    displayCommands,
    'ready',
  );
  channel.out.onDrain = () => dialogue.drained();
  channel.onClose(() => dialogue.abandon());
  dialogue.start();
  channel.receive({
    write: (data) => dialogue.receive(data),
    writeLent: (data) => {
      // There may be an answer in it: what the dialogue has is erased by the dialogue.
      const own = Buffer.from(data);
      data.fill(0);
      return dialogue.receive(own);
    },
    end: () => dialogue.endInput(),
  });
}
