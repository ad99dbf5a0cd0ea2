/** The subsystem `display`: the dialogue on a channel, then the desktop itself. Runs in: worker. */
import { displayCommands } from './commands/index.ts';
import type { Phase } from './command.ts';
import type { DisplayContext, LoginContext } from './desktops.ts';
import { Dialogue } from './dialogue.ts';
import { closeWithText, type DisplayChannel, joinViewer } from './viewer-channel.ts';

export function display(channel: DisplayChannel, context: DisplayContext): void {
  dialogueOn(channel, context, 'ready');
}

export function dialogueOn(
  channel: DisplayChannel,
  context: DisplayContext & Partial<Pick<LoginContext, 'login'>>,
  phase: Phase,
): void {
  const dialogue: Dialogue = new Dialogue(
    {
      get desktops() {
        return context.desktops;
      },
      hostName: context.hostName,
      defaultProtocol: context.defaultProtocol,
      fault: (error) => context.fault(error),
      ...(context.login === undefined ? {} : { login: context.login }),
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
    phase,
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
