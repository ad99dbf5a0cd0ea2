/**
 * A subsystem for Debian's sshd that ties its channel to the Unix socket of an X server: what the
 * client is tested with where our own server is not the subject. argv: the socket's path.
 */
import { connect } from 'node:net';

const [path = ''] = process.argv.slice(2);
const socket = connect(path);
socket.on('error', (error) => {
  process.stderr.write(`${error.message}\n`, () => process.exit(1));
});
socket.on('connect', () => {
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
});
socket.on('end', () => process.stdout.end(() => process.exit(0)));
process.stdin.on('close', () => socket.destroy());
