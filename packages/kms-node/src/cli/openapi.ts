import { Command } from 'commander'
import { replaceFile } from '../files.ts'
import { openApiDocument } from '../http/openapi.ts'
import { outputOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

/** `openapi`: the document that a node serves as /openapi.json; needs no node. */
export function openapiCommand(): Command {
  return new Command('openapi')
    .description('print the OpenAPI 3.1 document of the HTTP API, which a node also serves at /openapi.json')
    .option('--out <file>', 'write it to this file instead')
    .addHelpText('after', `${EXIT_HELP}\n\nExample:\n  ${COMMAND} openapi --out openapi.json`)
    .action(async ({ out }: { readonly out?: string }, command: Command) => {
      const document = openApiDocument()
      const text = JSON.stringify(document, undefined, 2)
      if (out === undefined) outputOf(command).result(document, [text])
      else await replaceFile(out, `${text}\n`, 0o644)
    })
}
