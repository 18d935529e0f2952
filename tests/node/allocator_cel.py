"""The part of CEL that device selectors use.

Values: strings, ints, floats, booleans, lists, and the device's maps. A missing key is an error,
and an error makes the device not match, except where && or || is already decided by its other
side, as the language defines. `device.attributes[<domain>]` of an unknown domain is an empty map
(the scheduler gives every domain one), so the error comes from the attribute's name.
"""

import re

TOKEN = re.compile(r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<float>\d+\.\d+)
  | (?P<int>0[xX][0-9a-fA-F]+|\d+)
  | (?P<string>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op>==|!=|<=|>=|&&|\|\||[<>!()\[\].,?:+\-*/%{}])
""", re.X)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
METHODS = {"startsWith", "endsWith", "contains", "matches", "size", "lowerAscii"}


class CELError(Exception):
    """The expression does not compile, or its evaluation failed for this device."""


class Domains(dict):
    """attributes or capacity by domain; an unknown domain reads as empty."""

    def __missing__(self, key):
        return {}


def _tokens(text):
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise CELError(f"syntax error at {at}: {text[at:at + 10]!r}")
        at = match.end()
        if match.lastgroup != "space":
            found.append((match.lastgroup, match.group()))
    return found + [("end", "")]


def _string(token):
    raw = token[0] in "rR"
    body = token[2:-1] if raw else token[1:-1]
    if raw:
        return body
    return re.sub(r"\\(.)", lambda m: ESCAPES.get(m.group(1), m.group(1)), body)


class _Parser:
    """Recursive descent into nested tuples; precedence as in the language definition."""

    LEVELS = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"),
              ("*", "/", "%"))

    def __init__(self, text):
        self.tokens, self.at = _tokens(text), 0

    def peek(self):
        return self.tokens[self.at][1]

    def take(self, wanted=None):
        kind, text = self.tokens[self.at]
        if wanted is not None and text != wanted:
            raise CELError(f"syntax error: expected {wanted!r}, got {text!r}")
        self.at += 1
        return kind, text

    def parse(self):
        tree = self.ternary()
        if self.tokens[self.at][0] != "end":
            raise CELError(f"syntax error: unexpected {self.peek()!r}")
        return tree

    def ternary(self):
        tree = self.binary(0)
        if self.peek() != "?" or self.tokens[self.at][0] != "op":
            return tree
        self.take("?")
        yes = self.binary(0)
        self.take(":")
        return ("?:", tree, yes, self.ternary())

    def binary(self, level):
        if level == len(self.LEVELS):
            return self.unary()
        tree = self.binary(level + 1)
        while self.tokens[self.at][0] in ("op", "name") and self.peek() in self.LEVELS[level]:
            operator = self.take()[1]
            tree = (operator, tree, self.binary(level + 1))
        return tree

    def unary(self):
        if self.tokens[self.at][0] == "op" and self.peek() in ("!", "-"):
            operator = self.take()[1]
            return ("not" if operator == "!" else "neg", self.unary())
        return self.member()

    def arguments(self, closing):
        items = []
        while self.peek() != closing:
            items.append(self.ternary())
            if self.peek() != closing:
                self.take(",")
        self.take(closing)
        return items

    def member(self):
        tree = self.primary()
        while self.tokens[self.at][0] == "op" and self.peek() in (".", "["):
            if self.take()[1] == "[":
                tree = ("index", tree, self.ternary())
                self.take("]")
                continue
            kind, name = self.take()
            if kind != "name":
                raise CELError(f"syntax error: expected a name after '.', got {name!r}")
            if self.peek() == "(":
                self.take("(")
                if name not in METHODS:
                    raise CELError(f"undeclared reference to '{name}'")
                tree = ("call", name, tree, self.arguments(")"))
            else:
                tree = ("field", tree, name)
        return tree

    def primary(self):
        kind, text = self.take()
        if kind == "string":
            return ("value", _string(text))
        if kind == "int":
            return ("value", int(text, 0))
        if kind == "float":
            return ("value", float(text))
        if text == "(":
            tree = self.ternary()
            self.take(")")
            return tree
        if text == "[":
            return ("list", self.arguments("]"))
        if kind == "name" and text in ("true", "false"):
            return ("value", text == "true")
        if kind == "name" and text == "device":
            return ("device",)
        if kind == "name" and text in ("has", "size") and self.peek() == "(":
            self.take("(")
            inside = self.ternary()
            self.take(")")
            if text == "has" and inside[0] != "field":
                raise CELError("invalid argument to has() macro")
            return ("has" if text == "has" else "size", inside)
        raise CELError(f"undeclared reference to '{text}'")


def _field(holder, name):
    if not isinstance(holder, dict):
        raise CELError(f"no such field '{name}'")
    try:
        return holder[name]
    except KeyError:
        raise CELError(f"no such key: {name}") from None


def _truth(value):
    if not isinstance(value, bool):
        raise CELError("no such overload")
    return value


def _logic(tree, device, decisive):
    """&& and ||: an error on one side does not matter when the other side decides."""
    sides = []
    for side in tree[1:]:
        try:
            value = _truth(_evaluate(side, device))
        except CELError as error:
            value = error
        if value is decisive:
            return decisive
        sides.append(value)
    for value in sides:
        if isinstance(value, CELError):
            raise value
    return not decisive


def _same_kind(left, right):
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool)
    number = (int, float)
    return (isinstance(left, number) and isinstance(right, number)) or type(left) is type(right)


def _arithmetic(operator, left, right):
    if not _same_kind(left, right) or isinstance(left, bool):
        raise CELError("no such overload")
    if operator in ("/", "%") and right == 0:
        raise CELError("division by zero")
    whole = isinstance(left, int) and isinstance(right, int)
    return {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
            "/": lambda: int(left / right) if whole else left / right,
            "%": lambda: left - right * int(left / right)}[operator]()


def _compare(operator, left, right):
    if operator in ("==", "!="):
        equal = _same_kind(left, right) and left == right
        return equal if operator == "==" else not equal
    if not _same_kind(left, right):
        raise CELError("no such overload")
    return {"<": left < right, "<=": left <= right, ">": left > right,
            ">=": left >= right}[operator]


def _call(name, subject, arguments):
    if name == "size" and isinstance(subject, (str, list, dict)):
        return len(subject)
    if name == "lowerAscii" and isinstance(subject, str):
        return subject.lower()
    if not isinstance(subject, str) or len(arguments) != 1 or not isinstance(arguments[0], str):
        raise CELError("no such overload")
    return {"startsWith": lambda: subject.startswith(arguments[0]),
            "endsWith": lambda: subject.endswith(arguments[0]),
            "contains": lambda: arguments[0] in subject,
            "matches": lambda: re.search(arguments[0], subject) is not None}[name]()


def _evaluate(tree, device):
    operator = tree[0]
    if operator == "value":
        return tree[1]
    if operator == "device":
        return device
    if operator == "list":
        return [_evaluate(item, device) for item in tree[1]]
    if operator in ("&&", "||"):
        return _logic(tree, device, operator == "||")
    if operator == "?:":
        chosen = tree[2] if _truth(_evaluate(tree[1], device)) else tree[3]
        return _evaluate(chosen, device)
    if operator == "has":
        holder = _evaluate(tree[1][1], device)
        return isinstance(holder, dict) and tree[1][2] in holder
    if operator in ("field", "index"):
        key = tree[2] if operator == "field" else _evaluate(tree[2], device)
        return _field(_evaluate(tree[1], device), key)
    if operator == "size":
        return _call("size", _evaluate(tree[1], device), [])
    if operator == "call":
        return _call(tree[1], _evaluate(tree[2], device),
                     [_evaluate(item, device) for item in tree[3]])
    if operator == "not":
        return not _truth(_evaluate(tree[1], device))
    if operator == "neg":
        return _arithmetic("-", 0, _evaluate(tree[1], device))
    left, right = _evaluate(tree[1], device), _evaluate(tree[2], device)
    if operator == "in":
        if not isinstance(right, (list, dict)):
            raise CELError("no such overload")
        return left in right
    if operator in ("+", "-", "*", "/", "%"):
        return _arithmetic(operator, left, right)
    return _compare(operator, left, right)


def compile_expression(text):
    """The parsed expression, for evaluate(); raises CELError as the server's compiler would."""
    return _Parser(text).parse()


def device_view(driver, device):
    """What `device` is in an expression: attributes by domain, the driver's own name implied."""
    view = {"driver": driver, "attributes": Domains(), "capacity": Domains()}
    for section in ("attributes", "capacity"):
        for name, holder in device.get(section, {}).items():
            domain, _, identifier = name.rpartition("/")
            value = next(iter(holder.values())) if section == "attributes" else holder["value"]
            view[section].setdefault(domain or driver, {})[identifier] = value
    return view


def evaluate(tree, driver, device):
    """True if the device matches; CELError if the evaluation fails or gives no boolean."""
    return _truth(_evaluate(tree, device_view(driver, device)))
