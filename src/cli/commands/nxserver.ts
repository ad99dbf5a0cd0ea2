/**
 * `sshdesk nxserver`: keys, users and desktops of the account `nx`, in the words of NX servers. Exit
 * status: 0 done, 1 refused, 2 usage. Runs in: launcher, as root.
 */
import { mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import type { Argv, CommandModule } from 'yargs';
import { dialogueVersion } from '../../../subsystems/display/dialogue.ts';
import { NxDatabase } from '../../monitor/nx-database.ts';
import { systemSource } from '../../policy/config-source.ts';
import { ConfigFailure } from '../../policy/failure.ts';
import { defaultDesktopFile, loadDesktopConfig } from '../../policy/load.ts';
import { placesFor } from '../../process/places.ts';
import { nxOrders } from '../nxserver/index.ts';
import type { NxAnswer, NxContext, NxOrder } from '../nxserver/order.ts';

type Arguments = Readonly<Record<string, unknown>>;

const usageFailed = 2;
const maxValueCharacters = 256;

function usage(text: string): number {
  process.stderr.write(`sshdesk nxserver: ${text}\nTry: sshdesk nxserver --help\n`);
  return usageFailed;
}

/** The one option that was given; a text: what is wrong. */
function orderIn(values: Arguments): { readonly order: NxOrder; readonly value: string } | string {
  const given = nxOrders.filter(({ name }) => values[name] !== undefined && values[name] !== false);
  const [order, ...more] = given;
  if (order === undefined || more.length > 0) {
    return order === undefined ? 'which option?' : 'one option at a time';
  }
  const said = values[order.name];
  const value = typeof said === 'string' ? said : '';
  if (Array.isArray(said)) {
    return `--${order.name} was given twice`;
  }
  if (order.value === 'needed' && value === '') {
    return `--${order.name}: of whom?`;
  }
  if (value.length > maxValueCharacters || /\p{Cc}/u.test(value)) {
    return `--${order.name}: that is no name`;
  }
  return { order, value };
}

function contextOf(value: string, file: string | undefined): NxContext {
  const { nxFile } = placesFor(true, process.env);
  return {
    value,
    config: loadDesktopConfig({
      file: file ?? defaultDesktopFile,
      isFileRequired: file !== undefined,
      cores: cpus().length,
      source: systemSource(),
    }).config,
    openDatabase() {
      mkdirSync(dirname(nxFile), { recursive: true, mode: 0o700 });
      return new NxDatabase(nxFile);
    },
  };
}

function show(answer: NxAnswer): number {
  if (answer.is === 'refused') {
    process.stderr.write(`NX> 500 ${answer.text}\n`);
  } else {
    process.stdout.write(answer.lines.map((line) => `${line}\n`).join(''));
  }
  process.stdout.write('NX> 999 Bye\n');
  return answer.is === 'refused' ? 1 : 0;
}

async function run(values: Arguments): Promise<number> {
  const found = orderIn(values);
  if (typeof found === 'string') {
    return usage(found);
  }
  process.stdout.write(`NX> 100 NXSERVER - Version ${dialogueVersion}\n`);
  if (process.getuid?.() !== 0) {
    return show({ is: 'refused', text: 'ERROR: only root may do that' });
  }
  try {
    const file = values['desktop-config'];
    return show(
      await found.order.run(contextOf(found.value, typeof file === 'string' ? file : undefined)),
    );
  } catch (error) {
    const text = error instanceof ConfigFailure ? error.lines.join('; ') : (error as Error).message;
    return show({ is: 'refused', text: `ERROR: ${text}` });
  }
}

function builder(yargs: Argv): Argv {
  let parser = yargs.version(false);
  for (const { name, value, describe } of nxOrders) {
    parser = parser.option(name, { type: value === 'none' ? 'boolean' : 'string', describe });
  }
  return parser.option('desktop-config', {
    type: 'string',
    requiresArg: true,
    describe: 'file instead of /etc/sshdesk/sshdesk_config',
  });
}

export const nxserver: CommandModule<object, Arguments> = {
  command: 'nxserver',
  describe: 'keys, users and desktops of the account nx of old clients',
  builder: builder as CommandModule<object, Arguments>['builder'] & object,
  handler: async (values) => {
    process.exitCode = await run(values);
  },
};
