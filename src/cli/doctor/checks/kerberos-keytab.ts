/** The host's key, as the acceptor of a login will look for it. Runs in: user. */
import { statSync } from 'node:fs';
import {
  type Check,
  fail,
  type Finding,
  ok,
  reasonOf,
  type Surroundings,
  warn,
  within,
} from '../check.ts';
import { firstOf, readKrb5Conf } from '../krb5-conf.ts';

const patienceMs = 5000;

function keytabFile(environment: NodeJS.ProcessEnv): string {
  const conf = readKrb5Conf(environment);
  const name =
    environment.KRB5_KTNAME ??
    (conf === undefined ? undefined : firstOf(conf, 'libdefaults/default_keytab_name')) ??
    '/etc/krb5.keytab';
  return name.replace(/^(?:WR)?FILE:/, '');
}

/** Null: nothing is wrong with it as a file. */
function ofFile(file: string): Finding | null {
  try {
    const { mode, uid } = statSync(file);
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    return uid !== 0 || (mode & 0o077) !== 0
      ? fail(
          `${file} (uid ${uid}, mode ${shown}): who can read it can be this host`,
          `chown root ${file}; chmod 600 ${file}; then new keys, since others may have read these`,
        )
      : null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? fail(`${file} is not there`, 'kadmin: ktadd host/NAME-OF-THIS-HOST')
      : warn(`${file} cannot be seen: ${reasonOf(error)}`, 'run this as root');
  }
}

async function ofKey(host: string, isStrict: boolean, file: string): Promise<Finding> {
  const kerberos = (await import('kerberos')).default;
  try {
    await kerberos.initializeServer(`host@${host}`);
  } catch (error) {
    const what = `${file} has no key host/${host}: ${reasonOf(error)}`;
    const remedy = `kadmin: ktadd host/${host}; or hostname, so that this host is called as in the keytab`;
    return isStrict
      ? fail(what, remedy)
      : warn(`${what}; GSSAPIStrictAcceptorCheck no takes any other of it`);
  }
  // The name as it stands in the keytab; the acceptor finds it by krb5's rules too.
  const principal = await kerberos.principalDetails('host', host).catch(() => `host/${host}`);
  return ok(`${principal} in ${file}`);
}

export const kerberosKeytab: Check = {
  name: 'Kerberos keytab',
  applies: ({ configuration }) => configuration?.config.gssapiAuthentication === true,
  async look({ isRoot, hostName, environment, configuration }: Surroundings) {
    const file = keytabFile(environment);
    const wrong = ofFile(file);
    if (!isRoot) return [wrong ?? warn(`${file} is root's alone to read`, 'run this as root')];
    if (wrong?.what.endsWith('is not there') === true) return [wrong];
    const isStrict = configuration?.config.gssapiStrictAcceptorCheck !== false;
    const key = await within(ofKey(hostName, isStrict, file), patienceMs);
    const late = warn(
      `no word about host/${hostName} within ${patienceMs / 1000} s`,
      'look at DNS',
    );
    return [...(wrong === null ? [] : [wrong]), key ?? late];
  },
};
