/** `hello NXCLIENT - Version X.Y.Z`: clients of the generations 1.4 to 3. Pure. */
import { type Command, prompt } from '../command.ts';

/** Before, clients asked for the list in another form; from 4 on they speak another language. */
const leastMinorOf1 = 4;
const firstUnknownMajor = 4;

export const hello: Command = {
  verb: 'hello',
  phases: ['login'],
  takesParameters: false,
  run({ rest }) {
    const found = /^NXCLIENT - Version (\d{1,4})\.(\d{1,4})\.(\d{1,4})(?![\d.])/i.exec(rest);
    const [major, minor] = [Number(found?.[1]), Number(found?.[2])];
    const isOld = major === 1 ? minor < leastMinorOf1 : major < 1;
    if (found === null || isOld || major >= firstUnknownMajor) {
      return {
        lines: [
          'NX> 500 Protocol you requested is not supported, please upgrade your client to latest version',
          'NX> 999 Bye.',
        ],
        then: 'close',
      };
    }
    return prompt([`NX> 134 Accepted protocol: ${found.slice(1, 4).join('.')}`]);
  },
};
