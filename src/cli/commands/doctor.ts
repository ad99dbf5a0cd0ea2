/**
 * `sshdesk doctor`: what an administrator would look at, looked at; nothing is changed. Exit status: 0
 * nothing has failed, 1 something has. Runs in: user.
 */
import type { CommandModule } from 'yargs';
import { checks } from '../doctor/checks.ts';
import { drawFindings } from '../doctor/report.ts';
import { runChecks } from '../doctor/run.ts';
import { lookAround } from '../doctor/surroundings.ts';

interface Arguments {
  f: string | undefined;
  o: readonly string[] | undefined;
  'desktop-config': string | undefined;
  json: boolean;
}

const failed = 1;

export const doctor: CommandModule<object, Arguments> = {
  command: 'doctor',
  describe: 'look at the configuration and the host, and say what is wrong and the remedy',
  builder: (yargs) =>
    yargs
      .option('f', { type: 'string', describe: 'file instead of /etc/ssh/sshd_config' })
      .option('o', {
        type: 'string',
        array: true,
        describe: 'line in front of the file, as KEY=VALUE',
      })
      .option('desktop-config', {
        type: 'string',
        describe: 'file instead of /etc/sshdesk/sshdesk_config',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one object, for programs' }),
  async handler(values) {
    const around = await lookAround({
      configFile: values.f,
      desktopConfigFile: values['desktop-config'],
      options: values.o ?? [],
    });
    const findings = await runChecks(checks, around);
    const isWell = findings.every(({ state }) => state !== 'fail');
    if (values.json) {
      const all = { isWell, isRoot: around.isRoot, findings };
      process.stdout.write(`${JSON.stringify(all, undefined, 2)}\n`);
    } else {
      process.stdout.write(drawFindings(findings));
      if (!around.isRoot) {
        process.stderr.write(
          "Not root: keytab, PAM and the account of workers are root's to see.\n",
        );
      }
    }
    process.exitCode = isWell ? 0 : failed;
  },
};
