/** Asks the daemon for logins and shows them. Runs in: user. */
import type { ControlReply, LoginRequest } from '../../broker/control.ts';
import { askDaemon, NoDaemon } from '../sessions/control-client.ts';
import { controlSocketPaths } from '../sessions/control-path.ts';

const refusedStatus = 1;
const noDaemonStatus = 255;

/** The exit status. `draw`: undefined where the answer is to something else. */
export async function showLogins(
  request: LoginRequest,
  { json, control }: { readonly json: boolean; readonly control: string | undefined },
  draw: (reply: ControlReply) => string | undefined,
): Promise<number> {
  const paths = control === undefined ? controlSocketPaths() : [control];
  let reply: ControlReply;
  try {
    ({ reply } = await askDaemon(paths, request));
  } catch (error) {
    if (error instanceof NoDaemon) {
      process.stderr.write(`sshdesk: ${error.message}\n`);
      return noDaemonStatus;
    }
    throw error;
  }
  if (reply.is === 'failed') {
    process.stderr.write(`sshdesk: ${reply.text}\n`);
    return refusedStatus;
  }
  const table = draw(reply);
  if (table === undefined || reply.is === 'done') {
    process.stderr.write('sshdesk: the daemon answers something else; is it another version?\n');
    return refusedStatus;
  }
  process.stdout.write(json ? `${JSON.stringify(reply.logins, undefined, 2)}\n` : table);
  return 0;
}
