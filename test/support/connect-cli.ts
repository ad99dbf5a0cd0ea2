/**
 * Runs the connect command alone, as the program does, for tests of it. Runs in: user.
 */
import yargs from 'yargs';
import { connect } from '../../src/cli/commands/connect.ts';

await yargs(process.argv.slice(2)).command(connect).demandCommand(1).strict().parseAsync();
