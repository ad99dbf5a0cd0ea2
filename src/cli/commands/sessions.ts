/**
 * `sshdesk sessions`: one's own desktops on this machine, as root everybody's. Exit status: 0, 1 not
 * found or not allowed, 255 no daemon. Runs in: user.
 */
import type { CommandModule } from 'yargs';
import type { ControlAction, ControlReply, PastDesktop } from '../../broker/control.ts';
import { controlActions } from '../../broker/control.ts';
import { askDaemon, NoDaemon } from '../sessions/control-client.ts';
import { controlSocketPaths, hasOwnDaemon, machineSocket } from '../sessions/control-path.ts';
import { ownAnswer } from '../sessions/own-answer.ts';
import { drawTable } from '../sessions/table.ts';

interface Arguments {
  action: string;
  which: string | undefined;
  json: boolean;
  control: string | undefined;
}

function isAction(text: string): text is ControlAction {
  return controlActions.some((action) => action === text);
}

function show(action: ControlAction, reply: ControlReply, isJson: boolean): number {
  if (reply.is === 'failed') {
    process.stderr.write(`sshdesk: ${reply.text}\n`);
    return 1;
  }
  if (reply.is !== 'done') {
    process.stderr.write('sshdesk: the daemon answers something else; is it another version?\n');
    return 1;
  }
  if (isJson) {
    process.stdout.write(`${JSON.stringify(reply.desktops, undefined, 2)}\n`);
  } else if (action === 'list') {
    process.stdout.write(drawTable(reply.desktops, false));
  } else if (action === 'history') {
    process.stdout.write(drawTable(reply.desktops as readonly PastDesktop[], true));
  } else {
    const done = action === 'suspend' ? 'suspended' : 'terminated';
    for (const { id, name } of reply.desktops) {
      process.stdout.write(`${name} ${id} ${done}\n`);
    }
  }
  return 0;
}

/** Desktops that are there without a daemon, by way of another sshd or of a daemon that has ended. */
async function alone(
  action: ControlAction,
  which: string | undefined,
  isJson: boolean,
): Promise<number> {
  try {
    return show(
      action,
      await ownAnswer(which === undefined ? { action } : { action, which }),
      isJson,
    );
  } catch (error) {
    process.stderr.write(`sshdesk: ${(error as Error).message}\n`);
    return 255;
  }
}

async function run(values: Arguments): Promise<number> {
  const { action, which, json, control } = values;
  if (!isAction(action)) {
    process.stderr.write(
      `sshdesk: sessions: ${action} is not one of ${controlActions.join(', ')}\n`,
    );
    return 1;
  }
  if ((action === 'suspend' || action === 'terminate') && which === undefined) {
    process.stderr.write(`sshdesk: sessions ${action}: which one? An id or a name is needed\n`);
    return 1;
  }
  const paths = control === undefined ? controlSocketPaths() : [control];
  try {
    const request = which === undefined ? { action } : { action, which };
    const { path, reply } = await askDaemon(paths, request);
    if (control === undefined && path === machineSocket && paths.length > 1 && hasOwnDaemon()) {
      process.stderr.write(
        `sshdesk: your own daemon does not run; this is what the machine's says (${path})\n`,
      );
    }
    return show(action, reply, json);
  } catch (error) {
    if (error instanceof NoDaemon) {
      if (control === undefined && process.getuid?.() !== 0 && hasOwnDaemon()) {
        return await alone(action, which, json);
      }
      process.stderr.write(`sshdesk: ${error.message}\n`);
      return 255;
    }
    throw error;
  }
}

export const sessions: CommandModule<object, Arguments> = {
  command: 'sessions <action> [which]',
  describe: 'list, suspend or terminate the desktops of this machine',
  builder: (yargs) =>
    yargs
      .positional('action', {
        type: 'string',
        choices: controlActions,
        demandOption: true,
        describe: 'what to do',
      })
      .positional('which', { type: 'string', describe: 'id or name of a desktop' })
      .option('json', { type: 'boolean', default: false, describe: 'one array, for programs' })
      .option('control', { type: 'string', describe: 'socket of the daemon' }),
  handler: async (values) => {
    process.exitCode = await run(values);
  },
};
