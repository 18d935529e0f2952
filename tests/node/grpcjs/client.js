// SPDX-License-Identifier: Apache-2.0
// The second voice: dranetd as @grpc/grpc-js sees it.
//
//   node client.js CHECK ARGUMENTS      arguments are one JSON object; `socket` is in each
//
// Prints a line PASS or FAIL for each thing tried, and "done" at the end. A check that waits for the other side to do something
// prints a line of upper case and reads a line. test_grpcjs.py brings dranetd and the claims.
'use strict';

const assert = require('node:assert/strict');
const readline = require('node:readline');
const { status: CODE, connectivityState: STATE } = require('@grpc/grpc-js');
const { Connection, methods, raw, MIB } = require('./connection.js');

const VERSIONS = ['v1', 'v1beta1'];
const dra = (version, name) => methods[`k8s.io.kubelet.pkg.apis.dra.${version}.DRAPlugin/${name}`];
const health = (version) => methods[`${version}.DRAResourceHealth/NodeWatchResources`];
const registration = (name) => methods[`pluginregistration.Registration/${name}`];
const range = (n) => Array.from({ length: n }, (_, i) => i);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function codeIs(result, ...wanted) {
	assert(wanted.includes(result.code),
		`got ${CODE[result.code]} (${result.details}), wanted ${wanted.map((code) => CODE[code]).join(' or ')}`);
}

function answersAll(result, claims) {
	codeIs(result, CODE.OK);
	assert.deepEqual(Object.keys(result.answer.claims).sort(), claims.map((claim) => claim.uid).sort());
}

// Each claim has its device, and the id its containers wait for.
function prepared(result, claims) {
	answersAll(result, claims);
	for (const claim of claims) {
		const { devices, error } = result.answer.claims[claim.uid];
		assert.equal(error, '');
		assert.deepEqual(devices.map((device) => device.device_name), [claim.device]);
		assert(devices[0].cdi_device_ids.length > 0, 'no CDI id');
	}
}

function unprepared(result, claims) {
	answersAll(result, claims);
	for (const { error } of Object.values(result.answer.claims)) assert.equal(error, '');
}

// What a call may end in whose deadline comes before its answer can: an error of the transport's, or one for every claim just before.
function late(result, claims) {
	codeIs(result, CODE.OK, CODE.DEADLINE_EXCEEDED);
	if (result.code !== CODE.OK) return;
	answersAll(result, claims);
	for (const { error } of Object.values(result.answer.claims)) assert.notEqual(error, '', 'success after the deadline');
}

const prepare = (connection, claims, version = 'v1') =>
	connection.unary(dra(version, 'NodePrepareResources'), { claims });
const unprepare = (connection, claims, version = 'v1') =>
	connection.unary(dra(version, 'NodeUnprepareResources'), { claims });

async function works(connection, claims) {
	prepared(await prepare(connection, claims), claims);
	unprepared(await unprepare(connection, claims), claims);
}

let failed = 0;
async function step(what, work) {
	try {
		await work();
		console.log(`PASS ${what}`);
	} catch (error) {
		failed++;
		console.log(`FAIL ${what}: ${error.message.replaceAll('\n', ' ')}`);
	}
}

let lines;
async function ask(word) {
	lines ??= readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
	console.log(word);
	await lines.next();
}

async function connected(args, work, options) {
	const connection = new Connection(args.socket, args.authority, options);
	try {
		await work(connection);
	} finally {
		connection.close();
	}
}

// The same numbers every time, for a run that can be repeated.
function random(seed) {
	let state = seed >>> 0;
	return () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return state / 2 ** 32;
	};
}

const CHECKS = {
	registration: (args) => connected(args, async (connection) => {
		await step('GetInfo', async () => {
			const result = await connection.unary(registration('GetInfo'), {}, { ms: 1000 });
			codeIs(result, CODE.OK);
			assert.equal(result.answer.type, 'DRAPlugin');
			assert.equal(result.answer.name, args.driver);
			assert.equal(result.answer.endpoint, args.endpoint);
			// Kubelets 1.34 to 1.36 take the first they know.
			assert.deepEqual(result.answer.supported_versions.filter((one) => one.endsWith('.DRAPlugin')),
				['v1.DRAPlugin', 'v1beta1.DRAPlugin']);
		});
		await step('NotifyRegistrationStatus', async () => {
			codeIs(await connection.unary(registration('NotifyRegistrationStatus'), { plugin_registered: true },
				{ ms: 5000 }), CODE.OK);
		});
	}),

	methods: (args) => connected(args, async (connection) => {
		const { claims } = args;
		for (const version of VERSIONS) {
			await step(`${version} NodePrepareResources`, async () => {
				const first = await prepare(connection, claims, version);
				prepared(first, claims);
				const again = await prepare(connection, claims, version);
				assert.deepEqual(again.answer, first.answer, 'a second answer that differs');
			});
			await step(`${version} NodePrepareResources of nothing`, async () => {
				answersAll(await prepare(connection, [], version), []);
			});
			await step(`${version} NodePrepareResources of a claim that is not there`, async () => {
				const absent = { namespace: 'default', name: 'absent', uid: 'uid-absent' };
				const result = await prepare(connection, [absent, claims[0]], version);
				answersAll(result, [absent, claims[0]]);
				assert.match(result.answer.claims['uid-absent'].error, /absent/);
				assert.equal(result.answer.claims[claims[0].uid].error, '');
			});
			await step(`${version} NodeUnprepareResources`, async () => {
				unprepared(await unprepare(connection, claims, version), claims);
				unprepared(await unprepare(connection, claims, version), claims);
			});
			await step(`${version} NodeUnprepareResources of an unknown claim`, async () => {
				const unknown = [{ namespace: 'default', name: 'never-heard-of', uid: 'no-such-uid' }];
				unprepared(await unprepare(connection, unknown, version), unknown);
			});
		}
		for (const version of ['v1', 'v1alpha1']) {
			await step(`${version} NodeWatchResources`, async () => {
				const stream = connection.stream(health(version), {});
				const list = await stream.first;
				assert(list, 'the stream ended before its first list');
				const states = Object.fromEntries(list.devices.map((one) => [one.device.device_name, one.health]));
				for (const { device } of claims) assert.equal(states[device], 'HEALTHY', device);
				stream.cancel();
				codeIs(await stream.done, CODE.CANCELLED);
			});
		}
		await step('the connection is the same one and works', async () => {
			assert.equal(connection.state(), STATE.READY);
			await works(connection, claims);
		});
	}),

	refusals: (args) => connected(args, async (connection) => {
		const { claims } = args;
		const method = dra('v1', 'NodePrepareResources');
		for (const path of ['/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NoSuchMethod', '/no.Such/Service',
			'/grpc.health.v1.Health/Check', '/']) {
			await step(`unknown method ${path}`, async () => {
				codeIs(await connection.unary(raw(path), Buffer.alloc(0)), CODE.UNIMPLEMENTED);
				codeIs(await connection.unary(raw(path), Buffer.alloc(100000)), CODE.UNIMPLEMENTED);
				codeIs(await connection.stream(raw(path), Buffer.alloc(0)).done, CODE.UNIMPLEMENTED);
			});
		}
		await step('bytes that are no message', async () => {
			codeIs(await connection.unary(raw(method.path), Buffer.from([0x0a, 0xff, 0xff])),
				CODE.INVALID_ARGUMENT, CODE.INTERNAL);
		});
		// A message of that size with one unknown field: a byte of tag, four of length.
		const padded = (size) => {
			const length = size - 5;
			const head = [0x7a, length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14 & 0x7f | 0x80, length >> 21];
			return Buffer.concat([Buffer.from(head), Buffer.alloc(length)]);
		};
		await step('a request of 512 KiB', async () => {
			codeIs(await connection.unary(raw(method.path), padded(MIB / 2)), CODE.OK);
		});
		// The largest gRPC lets through; what its reader may refuse is its size, not the call.
		await step('a request of 4 MiB', async () => {
			codeIs(await connection.unary(raw(method.path), padded(4 * MIB)), CODE.OK, CODE.RESOURCE_EXHAUSTED, CODE.INVALID_ARGUMENT);
		});
		for (const size of [4 * MIB + 1, 5 * MIB]) {
			await step(`a request of ${size} bytes beside others`, async () => {
				const beside = range(20).map(() => prepare(connection, claims));
				const large = range(3).map(() => connection.unary(raw(method.path), padded(size)));
				for (const one of large) codeIs(await one, CODE.RESOURCE_EXHAUSTED);
				for (const one of beside) prepared(await one, claims);
			});
		}
		await step('the connection is the same one and works', async () => {
			assert.equal(connection.state(), STATE.READY);
			await works(connection, claims);
		});
	}),

	headers: async (args) => {
		const method = dra('v1', 'NodePrepareResources');
		await connected(args, async (connection) => {
			await step('metadata, text and binary', async () => {
				const metadata = { 'x-text': 'a value', 'x-bytes-bin': Buffer.from([0, 1, 2, 255]), 'x-long': 'v'.repeat(8000) };
				prepared(await connection.unary(method, { claims: args.claims }, { metadata }), args.claims);
			});
			await step('and without', () => works(connection, args.claims));
		});
		// grpc-encoding other than identity.
		await connected(args, async (connection) => {
			await step('a compressed request', async () => {
				codeIs(await connection.unary(method, { claims: args.claims }), CODE.UNIMPLEMENTED);
			});
		}, { 'grpc.default_compression_algorithm': 2 });
	},

	many: async (args) => {
		const { claims, calls } = args;
		for (const n of [1, 4]) {
			const connections = range(n).map(() => new Connection(args.socket, args.authority));
			const streams = connections.map((one, i) => one.stream(health(i % 2 ? 'v1' : 'v1alpha1'), {}));
			for (const stream of streams) await stream.first;
			for (const [what, call, right] of [['prepares', prepare, prepared], ['unprepares', unprepare, unprepared]]) {
				await step(`${calls} ${what} at once on ${n} connections`, async () => {
					const asked = range(calls).map((i) => [claims[i % claims.length]]);
					const results = await Promise.all(asked.map((one, i) => call(connections[i % n], one, VERSIONS[i >> 2 & 1])));
					results.forEach((result, i) => right(result, asked[i]));
				});
			}
			streams.forEach((stream) => stream.cancel());
			await step(`${n} streams beside them were cancelled`, async () => {
				for (const stream of streams) codeIs(await stream.done, CODE.CANCELLED);
			});
			connections.forEach((one) => one.close());
		}
		await connected(args, async (connection) => {
			await step(`${10 * calls} calls on one connection`, async () => {
				for (let i = 0; i < 10; i++)
					for (const result of await Promise.all(range(calls).map(() => prepare(connection, [])))) answersAll(result, []);
			});
			await step('one call with 300 claims', async () => {
				const absent = range(300).map((i) => ({ namespace: 'default', name: `absent-${i}`, uid: `uid-${i}` }));
				unprepared(await unprepare(connection, absent), absent);
			});
			assert.equal(connection.state(), STATE.READY);
		});
	},

	// The API server answers later than these calls can wait.
	deadlines: (args) => connected(args, async (connection) => {
		const { claims } = args;
		const call = (version, name, asked, ms) => connection.unary(dra(version, name), { claims: asked }, { ms });
		for (const version of VERSIONS) {
			await step(`${version}: ${args.calls} prepares with 200 ms`, async () => {
				const asked = range(args.calls).map((i) => [claims[i % claims.length]]);
				const results = await Promise.all(asked.map((one) => call(version, 'NodePrepareResources', one, 200)));
				results.forEach((result, i) => late(result, asked[i]));
			});
		}
		await step('several claims in one call', async () => {
			late(await call('v1', 'NodePrepareResources', claims, 300), claims);
		});
		await step('deadlines of 0 to 30 ms', async () => {
			for (let ms = 0; ms <= 30; ms++) late(await call('v1', 'NodePrepareResources', [claims[0]], ms), [claims[0]]);
		});
		await step('a stream with a deadline', async () => {
			const stream = connection.stream(health('v1'), {}, 500);
			assert(await stream.first, 'no list');
			codeIs(await stream.done, CODE.DEADLINE_EXCEEDED);
		});
		await step('the connection is the same one', async () => {
			assert.equal(connection.state(), STATE.READY);
			answersAll(await prepare(connection, []), []);
		});
		await ask('FASTER');
		await step('and works once the API server does', () => works(connection, claims));
	}),

	cancels: (args) => connected(args, async (connection) => {
		const { claims, calls } = args;
		const chance = random(args.seed);
		const start = (i) => connection.start(dra(VERSIONS[i % 2], 'NodePrepareResources'), { claims: [claims[i % claims.length]] });
		await step(`half of ${calls} cancelled, soon or late`, async () => {
			const started = range(calls).map((i) => ({ i, ...start(i), cancelled: chance() < 0.5, after: 200 * chance() }));
			for (const one of started.filter((each) => each.cancelled))
				if (one.after < 50) one.cancel();
				else setTimeout(one.cancel, one.after);
			for (const one of started) {
				const result = await one.done;
				if (one.cancelled) codeIs(result, CODE.CANCELLED, CODE.OK);
				else codeIs(result, CODE.OK);
				if (result.code === CODE.OK) prepared(result, [claims[one.i % claims.length]]);
			}
		});
		await step(`all of ${calls} cancelled once they were sent`, async () => {
			const beside = prepare(connection, [claims[0]]);
			const started = range(calls).map(start);
			await pause(20);
			started.forEach((one) => one.cancel());
			for (const one of started) codeIs(await one.done, CODE.CANCELLED, CODE.OK);
			prepared(await beside, [claims[0]]);
		});
		await step('streams cancelled before their first list', async () => {
			const streams = range(20).map((i) => connection.stream(health(i % 2 ? 'v1' : 'v1alpha1'), {}));
			streams.forEach((stream) => stream.cancel());
			for (const stream of streams) codeIs(await stream.done, CODE.CANCELLED);
		});
		await step('the connection is the same one', async () => {
			assert.equal(connection.state(), STATE.READY);
		});
		await ask('FASTER');
		await step('and works', () => works(connection, claims));
	}),

	// Calls and streams are under way when this process ends; there is no answer to check but the next client's.
	vanish: async (args) => {
		const connection = new Connection(args.socket, args.authority);
		const stream = connection.stream(health('v1'), {});
		await step('a stream is open', async () => assert(await stream.first));
		range(args.calls).forEach((i) => connection.start(dra('v1', 'NodePrepareResources'), { claims: [args.claims[i % args.claims.length]] }));
		connection.unary(raw(dra('v1', 'NodePrepareResources').path), Buffer.alloc(4 * MIB));
		await pause(args.after);
		console.log('done');
		process.kill(process.pid, 'SIGKILL');
		await pause(10000);
	},

	idle: async (args) => {
		// grpc-js has no idle timeout below a second.
		await connected(args, async (connection) => {
			await step('idle and back while the connection stands', async () => {
				await works(connection, args.claims);
				await ask('CALLED');
				await connection.becomes(STATE.IDLE, 30000);
				await works(connection, args.claims);
			});
			await step('idle until the connection is gone', async () => {
				await connection.becomes(STATE.IDLE, 30000);
				await ask('IDLE');
			});
			await step('and back', () => works(connection, args.claims));
		}, { 'grpc.client_idle_timeout_ms': 1000 });
		await connected(args, async (connection) => {
			await step('PINGs every 100 ms with and without calls', async () => {
				const stream = connection.stream(health('v1'), {});
				assert(await stream.first);
				await pause(1000);
				stream.cancel();
				codeIs(await stream.done, CODE.CANCELLED);
				await pause(1000);
				assert.equal(connection.state(), STATE.READY, 'an unanswered PING ends the connection');
				await works(connection, args.claims);
			});
		}, { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_timeout_ms': 5000, 'grpc.keepalive_permit_without_calls': 1 });
		await step('100 connections one after another', async () => {
			for (let i = 0; i < 100; i++) await connected(args, async (connection) => answersAll(await prepare(connection, []), []));
		});
	},

	// dranetd is stopped and started again while this client stays.
	restart: (args) => connected(args, async (connection) => {
		const { claims } = args;
		const stream = connection.stream(health('v1'), {});
		await step('before', async () => {
			assert(await stream.first);
			await works(connection, claims);
		});
		await ask('STOP');
		await step('the stream ends with UNAVAILABLE', async () => codeIs(await stream.done, CODE.UNAVAILABLE));
		await step('calls fail with UNAVAILABLE', async () => codeIs(await prepare(connection, claims), CODE.UNAVAILABLE));
		const waiting = connection.start(dra('v1', 'NodePrepareResources'), { claims }, { waitForReady: true });
		await ask('START');
		await step('a call that waits is answered by the new one', async () => prepared(await waiting.done, claims));
		await step('and the next ones', () => works(connection, claims));
	}, { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 }),
};

async function main() {
	const [check, args] = process.argv.slice(2);
	if (!Object.hasOwn(CHECKS, check ?? '')) {
		console.error(`usage: client.js ${Object.keys(CHECKS).join('|')} JSON`);
		process.exit(2);
	}
	await CHECKS[check](JSON.parse(args));
	console.log('done');
	process.exit(failed ? 1 : 0);
}

main();
