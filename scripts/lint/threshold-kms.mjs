// Lint rules of this project that no linter ships: what the pure package may import and which functions it may call.

const RANDOM_NAMES = new Set([
  'randomBytes',
  'randomSecretKey',
  'keygen',
  'randomPrivateKey',
  'getRandomValues',
  'randomUUID',
])

const propertyName = (node) =>
  node.computed ? (node.property.type === 'Literal' ? node.property.value : undefined) : node.property.name

/** Every name through which a module lets a function in: member access, named import, destructuring. */
const namedUses = (report) => ({
  MemberExpression: (node) => report(node, propertyName(node)),
  ImportSpecifier: (node) => report(node, node.imported.name ?? node.imported.value),
  'ObjectPattern > Property': (node) => report(node, node.key.name),
})

const noEnum = {
  create: (context) => ({
    TSEnumDeclaration: (node) => context.report({ node, message: 'no enums: use a union of literals' }),
  }),
}

const onlyImports = {
  meta: { schema: [{ type: 'object', properties: { allow: { type: 'array', items: { type: 'string' } } } }] },
  create: (context) => {
    const allow = context.options[0]?.allow ?? []
    const check = (node) => {
      if (node.source && !allow.some((prefix) => node.source.value.startsWith(prefix)))
        context.report({ node, message: `this package does not import ${node.source.value}` })
    }
    return {
      ImportDeclaration: check,
      ImportExpression: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
    }
  },
}

const noHiddenRandomness = {
  create: (context) => ({
    ...namedUses((node, name) => {
      if (RANDOM_NAMES.has(name)) context.report({ node, message: `${name}: randomness is an input of this package` })
    }),
    CallExpression: (node) => {
      const { callee } = node
      if (callee.type !== 'MemberExpression' || callee.object.name !== 'schnorr' || propertyName(callee) !== 'sign')
        return
      if (node.arguments.length < 3)
        context.report({
          node,
          message: 'schnorr.sign without its third argument draws randomness: pass the auxiliary bytes',
        })
    },
  }),
}

const noVariableTime = {
  create: (context) =>
    namedUses((node, name) => {
      if (typeof name === 'string' && name.endsWith('Unsafe'))
        context.report({ node, message: `${name} is variable time: only files for public data may call it` })
    }),
}

export default {
  meta: { name: 'tkms' },
  rules: {
    'no-enum': noEnum,
    'only-imports': onlyImports,
    'no-hidden-randomness': noHiddenRandomness,
    'no-variable-time': noVariableTime,
  },
}
