// SPDX-License-Identifier: Apache-2.0
// One gRPC connection of @grpc/grpc-js to a unix socket. Calls never throw: each ends in {code, details, answer}.
'use strict';

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const NAMES = ['registration', 'dra_v1', 'dra_v1beta1', 'health_v1', 'health_v1alpha1'];
const OPTIONS = { keepCase: true, longs: Number, enums: String, defaults: true };
const MIB = 1024 * 1024;

// Method definitions by "package.Service/Method".
const methods = {};
for (const name of NAMES) {
	const file = path.join(__dirname, '..', 'proto', `kubelet_${name}.proto`);
	for (const [service, definition] of Object.entries(loader.loadSync(file, OPTIONS)))
		for (const [method, one] of Object.entries(definition))
			if (one.path) methods[`${service}/${method}`] = one;
}

// A method nobody described: bytes in, bytes out.
function raw(methodPath) {
	const same = (bytes) => bytes;
	return { path: methodPath, requestSerialize: same, responseDeserialize: same };
}

class Connection {
	// Without an authority grpc-js writes "localhost" for a unix socket.
	constructor(socket, authority, options = {}) {
		const target = `unix:${socket}`;
		const credentials = grpc.credentials.createInsecure();
		this.channel = new grpc.Channel(target, credentials, {
			// Channels of one target share a connection otherwise.
			'grpc.use_local_subchannel_pool': 1,
			'grpc.max_receive_message_length': 4 * MIB,
			...(authority ? { 'grpc.default_authority': authority } : {}),
			...options,
		});
		this.client = new grpc.Client(target, credentials, { channelOverride: this.channel });
	}

	// A unary call under way: cancel() and `done`. `ms` is its deadline.
	start(method, request, { ms = 45000, metadata = {}, waitForReady = false } = {}) {
		let answer;
		let told;
		const done = new Promise((resolve) => (told = resolve));
		const meta = new grpc.Metadata({ waitForReady });
		for (const [key, value] of Object.entries(metadata)) meta.set(key, value);
		const call = this.client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize,
			request, meta, { deadline: Date.now() + ms }, (_, value) => (answer = value));
		// The callback has been called by the time the status comes.
		call.on('status', ({ code, details }) => setImmediate(() => told({ code, details, answer })));
		return { done, cancel: () => call.cancel() };
	}

	unary(method, request, options) {
		return this.start(method, request, options).done;
	}

	// A server stream under way: `first` resolves with its first message, or with null when it ends before one.
	stream(method, request, ms) {
		let gotFirst;
		let told;
		const first = new Promise((resolve) => (gotFirst = resolve));
		const done = new Promise((resolve) => (told = resolve));
		const call = this.client.makeServerStreamRequest(method.path, method.requestSerialize, method.responseDeserialize,
			request, new grpc.Metadata(), ms ? { deadline: Date.now() + ms } : {});
		call.on('data', gotFirst);
		call.on('error', () => {}); // told by the status
		call.on('status', ({ code, details }) => {
			gotFirst(null);
			told({ code, details });
		});
		return { first, done, cancel: () => call.cancel() };
	}

	state() {
		return this.channel.getConnectivityState(false);
	}

	// Until the channel is in that state.
	becomes(state, ms) {
		const end = Date.now() + ms;
		return new Promise((resolve, reject) => {
			const look = () => {
				const now = this.state();
				if (now === state) return resolve();
				this.channel.watchConnectivityState(now, end, (error) => (error ? reject(
					new Error(`the channel is ${grpc.connectivityState[now]} for ${ms} ms`)) : look()));
			};
			look();
		});
	}

	close() {
		this.channel.close();
	}
}

module.exports = { Connection, methods, raw, MIB };
