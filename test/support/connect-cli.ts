/**
 * Runs the connect command alone, as the program does, for tests of it. Runs in: user.
 */
import yargs from 'yargs';
import { arrangeConnect, connect } from '../../src/cli/commands/connect.ts';

await yargs([...arrangeConnect(process.argv.slice(2))])
  .parserConfiguration({ 'populate--': true })
  .command(connect)
  .demandCommand(1)
  .strict()
  .parseAsync();
