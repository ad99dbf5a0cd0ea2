/** Questions about one's desktops where nobody is there to answer: this process does. Runs in: user. */
import { Log } from '../../audit/log.ts';
import { SyslogSink } from '../../audit/syslog.ts';
import type { ControlReply, ControlRequest } from '../../broker/control.ts';
import { placesIn } from '../../process/places.ts';
import { ownDesktops } from '../subsystem/own-desktops.ts';
import { desktopConfigFor, visitorFrom } from '../subsystem/visitor.ts';
import { askDaemon } from './control-client.ts';

/** For as long as it takes the user's desktops are this process's. Throws where they may not be. */
export async function ownAnswer(request: ControlRequest): Promise<ControlReply> {
  const visitor = visitorFrom(process.env);
  const places = placesIn(visitor.home);
  const log = new Log(new SyslogSink({ tag: 'sshdesk', facility: 'AUTH' }), 'INFO');
  const own = await ownDesktops(
    places,
    visitor,
    'this machine',
    desktopConfigFor(),
    visitor.softFiles,
    log,
  );
  try {
    return (await askDaemon([places.controlSocket], request)).reply;
  } finally {
    own.release();
  }
}
