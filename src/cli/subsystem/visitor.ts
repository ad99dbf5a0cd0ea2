/** Who runs this process, and what the machine's configuration of desktops says. Runs in: user. */
import { cpus, userInfo } from 'node:os';
import { systemSource } from '../../policy/config-source.ts';
import { defaultDesktopFile, type LoadedDesktop, loadDesktopConfig } from '../../policy/load.ts';
import type { Visitor } from './doors.ts';

/** The address of SSH_CONNECTION: nothing but an address is taken from it. */
function addressIn(connection: string | undefined): string {
  const [address = ''] = (connection ?? '').split(' ', 1);
  return /^[0-9A-Fa-f:.]{2,45}(%[\w.-]{1,16})?$/.test(address) ? address : '';
}

/** The account is what NSS says of the uid: no variable has a say in it. */
export function visitorFrom(environment: NodeJS.ProcessEnv): Visitor {
  const { username, uid, homedir } = userInfo();
  const files = Number(environment.SSHDESK_SOFT_FILES);
  return {
    user: username,
    uid,
    home: homedir,
    runtime: environment.XDG_RUNTIME_DIR,
    from: addressIn(environment.SSH_CONNECTION),
    softFiles: Number.isInteger(files) && files > 0 ? files : undefined,
  };
}

/** Throws ConfigFailure. */
export function desktopConfigFor(): LoadedDesktop['configFor'] {
  return loadDesktopConfig({
    file: defaultDesktopFile,
    isFileRequired: false,
    cores: cpus().length,
    source: systemSource(),
  }).configFor;
}
