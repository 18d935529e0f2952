// SPDX-License-Identifier: Apache-2.0
// The admission policy as an API server would apply it, by a CEL that is not ours.
//
//   node evaluate.mjs NODE_MODULES POLICY < requests
//
// POLICY is the YAML file; requests are lines of JSON {"object", "oldObject", "request"}. For each a line of JSON: {"matches", "allowed", "message"},
// or {"error"} for an expression that could not be evaluated. The first line is {"types"}: what the expressions were found to give.
// Kubernetes' own functions are added here, as its documentation describes them.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

const [modules, file] = process.argv.slice(2)
const from = (...parts) => import(pathToFileURL(path.join(modules, ...parts)))
const { Environment } = await from('@marcbachmann', 'cel-js', 'lib', 'index.js')
const YAML = (await from('yaml', 'dist', 'index.js')).default

// ---- Kubernetes' libraries --------------------------------------------------------------------------------------------------------

const mapped = text => /^[0:]+ffff:([0-9.]+|[0-9a-f]{1,4}:[0-9a-f]{1,4})$/i.test(text)
const isIP = text => net.isIP(text) !== 0 && !text.includes('%') && !mapped(text)
const isCIDR = text => {
  const match = /^(.+)\/(0|[1-9][0-9]{0,2})$/.exec(text)
  return match !== null && isIP(match[1]) && Number(match[2]) <= (net.isIP(match[1]) === 4 ? 32 : 128)
}
const groups = text => {
  const [head, tail] = text.split('::').map(part => (part ? part.split(':') : []))
  return tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail]
}

class IP {
  constructor (text) {
    if (!isIP(text)) throw new Error(`no IP address: ${text}`)
    this.text = text
  }

  get family () { return net.isIP(this.text) }
  get unspecified () { return this.family === 4 ? this.text === '0.0.0.0' : groups(this.text).every(group => parseInt(group, 16) === 0) }
  get loopback () {
    if (this.family === 4) return this.text.startsWith('127.')
    return groups(this.text).every((group, i) => parseInt(group, 16) === (i === 7 ? 1 : 0))
  }
}

class CIDR {
  constructor (text) {
    if (!isCIDR(text)) throw new Error(`no CIDR: ${text}`)
    this.text = text
  }

  get address () { return new IP(this.text.split('/')[0]) }
}

function environment () {
  return new Environment({ enableOptionalTypes: true, limits: { maxAstNodes: 100000, maxDepth: 250, maxListElements: 1000 } })
    .registerType('net.IP', IP)
    .registerType('net.CIDR', CIDR)
    .registerFunction('isIP(string): bool', isIP)
    .registerFunction('isCIDR(string): bool', isCIDR)
    .registerFunction('ip(string): net.IP', text => new IP(text))
    .registerFunction('cidr(string): net.CIDR', text => new CIDR(text))
    .registerFunction('net.CIDR.ip(): net.IP', cidr => cidr.address)
    .registerFunction('net.IP.family(): int', ip => BigInt(ip.family))
    .registerFunction('net.IP.isUnspecified(): bool', ip => ip.unspecified)
    .registerFunction('net.IP.isLoopback(): bool', ip => ip.loopback)
    .registerFunction('string.replace(string, string): string', (text, what, by) => text.replaceAll(what, by))
    .registerVariable('object', 'dyn')
    .registerVariable('oldObject', 'dyn')
    .registerVariable('request', 'dyn')
    .registerVariable('variables', 'dyn')
}

// ---- JSON as the API server reads it ------------------------------------------------------------------------------------------------

// A number without fraction and exponent is an int, any other a double.
function parse (line) {
  const tagged = line.replace(/"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/g,
    found => (/^-?[0-9]+$/.test(found) ? `{"\\u0000int":"${found}"}` : found))
  return JSON.parse(tagged, (key, value) => {
    if (value === null || typeof value !== 'object') return value
    return Object.hasOwn(value, '\u0000int') ? BigInt(value['\u0000int']) : value
  })
}

// ---- the policy ---------------------------------------------------------------------------------------------------------------------

const documents = YAML.parseAllDocuments(fs.readFileSync(file, 'utf8'), { strict: true, uniqueKeys: true, version: '1.1' })
for (const document of documents) {
  if (document.errors.length || document.warnings.length) throw new Error(String([...document.errors, ...document.warnings]))
}
const [policy, binding] = documents.map(document => document.toJS())
if (binding.spec.policyName !== policy.metadata.name) throw new Error('the binding is for another policy')
const spec = policy.spec
const types = {}
const wanted = { validations: 'bool', messages: 'string', conditions: 'bool' }

function compile (what, expression, kind) {
  const env = environment()
  const checked = env.check(expression)
  if (!checked.valid) throw new Error(`${what}: ${checked.error.message}`)
  if (wanted[kind] && checked.type !== wanted[kind]) throw new Error(`${what} is of type ${checked.type}`)
  types[what] = checked.type
  return env.parse(expression)
}

const conditions = (spec.matchConditions ?? []).map(item => compile(`condition ${item.name}`, item.expression, 'conditions'))
const variables = spec.variables.map(item => [item.name, compile(`variable ${item.name}`, item.expression)])
const validations = spec.validations.map((item, i) => ({
  message: item.message,
  expression: compile(`validation ${i}`, item.expression, 'validations'),
  messageExpression: compile(`message ${i}`, item.messageExpression, 'messages')
}))

function judge ({ object = null, oldObject = null, request = {} }) {
  if (!conditions.every(condition => condition({ object, oldObject, request, variables: {} }))) return { matches: false, allowed: true }
  const values = {}
  const context = { object, oldObject, request, variables: values }
  for (const [name, expression] of variables) values[name] = expression(context)
  for (const validation of validations) {
    if (!validation.expression(context)) return { matches: true, allowed: false, message: validation.messageExpression(context) }
  }
  return { matches: true, allowed: true }
}

console.log(JSON.stringify({ types }))
for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  try {
    console.log(JSON.stringify(judge(parse(line))))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message).split('\n')[0] }))
  }
}
