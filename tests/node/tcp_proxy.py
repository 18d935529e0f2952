#!/usr/bin/python3
"""A TCP proxy that can fall silent without closing anything, as a load balancer or a firewall does.

    tcp_proxy.py LISTEN-PORT TARGET-PORT

Lines on stdin:
    silent    pass nothing more on the connections that stand; new ones work
    slow      pass what the target says in small pieces, a few a second
"""
import asyncio
import sys


class Proxy:
    def __init__(self, target):
        self.target, self.slow, self.connections = target, False, []

    async def accept(self, reader, writer):
        state = {"silent": False}
        self.connections.append(state)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pump(reader, up_writer, state, False), self.pump(up_reader, writer, state, True))

    async def pump(self, reader, writer, state, answers):
        try:
            while data := await reader.read(65536):
                while data and not state["silent"]:
                    size = 100 if answers and self.slow else len(data)
                    writer.write(data[:size])
                    await writer.drain()
                    data = data[size:]
                    if answers and self.slow:
                        await asyncio.sleep(0.02)
                if state["silent"]:
                    await asyncio.Event().wait()
        except ConnectionError:
            pass
        writer.close()

    def control(self):
        for line in sys.stdin:
            if line.strip() == "silent":
                for state in self.connections:
                    state["silent"] = True
            self.slow = line.strip() == "slow"
            print(f"now {line.strip()}", flush=True)


async def main(port, target):
    proxy = Proxy(int(target))
    await asyncio.start_server(proxy.accept, "127.0.0.1", int(port))
    print("listening", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, proxy.control)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
