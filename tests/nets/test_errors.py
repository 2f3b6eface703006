"""Wrong texts, each with the whole error that it must give: what, where, and the way out."""

import pytest

from striate.errors import NetError
from striate.nets import LocatedNetError, parse_net

# On images of 8x8x3.
WRONG = {
    "conv3-64 cnv3-64 relu": """\
line 1, column 10: unknown layer `cnv3-64`
    conv3-64 cnv3-64 relu
             ^^^^^^^ (did you mean conv3-64 or conv5x3-64/2x1p0x1g2d1b0c?)""",
    "conv3-64 ReLU": """\
line 1, column 10: unknown layer `ReLU`
    conv3-64 ReLU
             ^^^^ (did you mean relu?)""",
    "conv3-64 batchnorm relu": """\
line 1, column 10: unknown layer `batchnorm`
    conv3-64 batchnorm relu
             ^^^^^^^^^ (batch normalisation is written bn)""",
    "relu conv3 fc-10": """\
line 1, column 6: `conv3` is not complete
    relu conv3 fc-10
         ^^^^^ (one word without spaces: conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "conv3--64": """\
line 1, column 7: negative numbers have no place in `conv3--64`
    conv3--64
          ^^^ (written as conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "conv3-64p-1": """\
line 1, column 10: negative numbers have no place in `conv3-64p-1`
    conv3-64p-1
             ^^ (written as conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "conv3-0": """\
line 1, column 7: the number of kernels cannot be 0
    conv3-0
          ^ (it is from 1 to 9999999)""",
    "fc-10000000": """\
line 1, column 4: the number of units cannot be 10000000
    fc-10000000
       ^^^^^^^^ (it is from 1 to 9999999)""",
    "dropout1.5": """\
line 1, column 8: a dropout rate cannot be 1.5
    dropout1.5
           ^^^ (it is at least 0 and below 1)""",
    "maxpool2b0": """\
line 1, column 9: maxpool has no bias
    maxpool2b0
            ^^ (it takes stride /, padding p, ceil c)""",
    "conv3-8/2/2": """\
line 1, column 10: stride is given twice
    conv3-8/2/2
             ^^ (leave one of them out)""",
    "conv3-n": """\
line 1, column 7: `n` is not a number
    conv3-n
          ^ (names stand for numbers only in a definition: unit(n) = conv3-n relu)""",
    "conv3.5-64": """\
line 1, column 6: cannot read `.5-64` in `conv3.5-64`
    conv3.5-64
         ^^^^^ (written as conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "relu6": """\
line 1, column 5: cannot read `6` in `relu6`
    relu6
        ^ (written as relu)""",
    "conv3-64relu" * 9: """\
line 1, column 1: a word of 108 characters; the limit is 100
    conv3-64reluconv3-64reluconv3-64reluconv3-64reluconv3-64reluconv3-64reluconv3-64reluconv3-
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ \
(layers are separated by spaces)""",
    "[conv3-64 relu": """\
line 1, column 1: `[` is not closed
    [conv3-64 relu
    ^ (close it: [ ... ]*3)""",
    "conv3-64 relu]*2": """\
line 1, column 14: `]` closes nothing
    conv3-64 relu]*2
                 ^ (leave it out, or open it with `[`)""",
    "[conv3-64 relu)*2": """\
line 1, column 15: `)` does not close `[`
    [conv3-64 relu)*2
                  ^ (close it: [ ... ]*3)""",
    "u(n) = relu\nu(": """\
line 2, column 2: `(` is not closed
    u(
     ^ (close it: unit(64, 2))""",
    "[]*2": """\
line 1, column 1: empty brackets
    []*2
    ^ (put layers in: [ relu ]*3)""",
    "[relu]*": """\
line 1, column 7: a repeat without a count
    [relu]*
          ^ (as in [ ... ]*3)""",
    "[" * 33 + "relu" + "]" * 33: """\
line 1, column 33: more than 32 brackets within each other
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[relu]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
                                    ^ (give the inner ones a definition)""",
    "[relu]*0": """\
line 1, column 7: a repeat of 0
    [relu]*0
          ^^ (leave the brackets and what is in them out)""",
    "[relu]*1000000000": """\
line 1, column 7: a repeat cannot be `1000000000`
    [relu]*1000000000
          ^^^^^^^^^^^ (it is a whole number from 1 to 10000)""",
    "[relu]*-3": """\
line 1, column 7: a repeat cannot be `-3`
    [relu]*-3
          ^^^ (it is a whole number from 1 to 10000)""",
    "[[relu]*9999]*9999": """\
line 1, column 3: more than 10000 layers, written out
    [[relu]*9999]*9999
      ^^^^ (use fewer or smaller repeats)""",
    "conv3-64*2": """\
line 1, column 9: `*2` is out of place
    conv3-64*2
            ^^ (a repeat is written [ ... ]*3)""",
    "conv3-8 | relu": """\
line 1, column 9: `|` is out of place
    conv3-8 | relu
            ^ (branches stand in parentheses: ( a | b ))""",
    "(relu)": """\
line 1, column 1: one branch only
    (relu)
    ^ (( a | b ) concatenates, ( a + b ) adds, [ a ] only holds together)""",
    "(relu + )": """\
line 1, column 1: an empty branch
    (relu + )
    ^ (the identity is written skip: ( a + skip ))""",
    "relu (conv3-3 | conv3-4 + relu)": """\
line 1, column 25: `|` and `+` in the same parentheses
    relu (conv3-3 | conv3-4 + relu)
                            ^ (give one of them parentheses of its own)""",
    "conv3-6 skip": """\
line 1, column 9: `skip` stands alone in a branch
    conv3-6 skip
            ^^^^ (as in ( conv3-64 + skip ))""",
    "a = relu a\na": """\
line 1, column 10: `a` is defined by itself
    a = relu a
             ^ (a -> a has no end; to repeat layers, write [ ... ]*3)""",
    "a = relu b\nb = tanh a\na": """\
line 2, column 10: `a` is defined by itself
    b = tanh a
             ^ (a -> b -> a has no end; to repeat layers, write [ ... ]*3)""",
    "a = relu\na = tanh\na": """\
line 2, column 1: `a` is defined twice
    a = tanh
    ^ (rename one of them)""",
    "relu = tanh\nrelu": """\
line 1, column 1: `relu` is a layer already
    relu = tanh
    ^^^^ (a name has letters, digits and _, and is no layer: unit(n) = conv3-n relu)""",
    "2a = relu\n2a": """\
line 1, column 1: `2a` is not a name
    2a = relu
    ^^ (a name has letters, digits and _, and is no layer: unit(n) = conv3-n relu)""",
    "u(N) = relu\nu(3)": """\
line 1, column 3: `N` cannot be a parameter
    u(N) = relu
      ^ (parameters are small letters, each one once)""",
    "u(n, n) = relu\nu(3, 3)": """\
line 1, column 6: `n` cannot be a parameter
    u(n, n) = relu
         ^ (parameters are small letters, each one once)""",
    "u(n, s) = conv3-n/s\nu(3)": """\
line 2, column 1: `u` takes 2 arguments, not 1
    u(3)
    ^ (it is defined as u(n, s))""",
    "u(n) = conv3-n\nu": """\
line 2, column 1: `u` takes 1 argument, not 0
    u
    ^ (it is defined as u(n))""",
    "u(n) = conv3-m\nu(3)": """\
line 1, column 8: `m` is not a number
    u(n) = conv3-m
           ^^^^^^^ (the parameters here are n)""",
    "u(n) = [relu]*m\nu(3)": """\
line 1, column 14: a repeat cannot be `m`
    u(n) = [relu]*m
                 ^^ (it is a whole number from 1 to 10000 or n)""",
    "u(n) = conv3-n\nu(0)": """\
line 2, column 3: an argument cannot be `0`
    u(0)
      ^ (it is a whole number from 1 to 9999999)""",
    "u(n) = conv3-n\nu(n)": """\
line 2, column 3: an argument cannot be `n`
    u(n)
      ^ (it is a whole number from 1 to 9999999)""",
    "u(n) = relu\nu(3 4)": """\
line 2, column 5: `4` is out of place
    u(3 4)
        ^ (numbers are separated by commas: unit(64, 2))""",
    "u(n) = [relu]*n\nu(10001)": """\
line 1, column 14: a repeat cannot be 10001 (in u(10001))
    u(n) = [relu]*n
                 ^^ (it is a whole number from 1 to 10000)""",
    "u(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q) = relu\nrelu": """\
line 1, column 51: more than 16 parameters
    u(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q) = relu
                                                      ^ (write some numbers out)""",
    "unit(3) relu": """\
line 1, column 1: `unit` is not defined
    unit(3) relu
    ^^^^ (define it on a line of its own: unit(n) = conv3-n relu)""",
    "unit(n) = relu\nunti(3)": """\
line 2, column 1: `unti` is not defined
    unti(3)
    ^^^^ (did you mean unit?)""",
    "relu(3)": """\
line 1, column 1: `relu` is a layer and takes no arguments
    relu(3)
    ^^^^ (put a space before the bracket)""",
    "a =\nrelu": """\
line 1, column 3: the line ends too early
    a =
      ^ (a definition stands on one line: name(n) = conv3-n relu)""",
    "relu a = tanh": """\
line 1, column 8: `=` is out of place
    relu a = tanh
           ^ (a definition stands on one line: name(n) = conv3-n relu)""",
    "a = relu": "definitions alone are no net (add layers: conv3-32 relu maxpool2 fc-10)",
    "": "an empty net (add layers: conv3-32 relu maxpool2 fc-10)",
    "input 3x3 relu": """\
line 1, column 7: `3x3` is not an input volume
    input 3x3 relu
          ^^^ (height x width x channels: input 32x32x3)""",
    "relu input 3x3x3": """\
line 1, column 12: `input` may only stand at the start of the net
    relu input 3x3x3
               ^^^^^ (move it there, or leave it out)""",
    "input": """\
line 1, column 5: the net ends too early
    input
        ^ (after `input` comes a volume: input 32x32x3)""",
    "relu, tanh": """\
line 1, column 5: `,` is out of place
    relu, tanh
        ^ (numbers are listed only where a definition is used: unit(64, 2))""",
    "relu\u00a0tanh": """\
line 1, column 5: the character U+00A0 cannot be read
    relu tanh
        ^ (layers are separated by plain spaces and new lines)""",
    "conv9-8p0": """\
line 1, column 1: conv9-8p0 on 8x8x3: (8 - 9 + 2*0)/1 + 1 = 0: the window is larger than its input
    conv9-8p0
    ^^^^^^^^^ (a smaller window, more padding or larger images would fit)""",
    "maxpool9": """\
line 1, column 1: maxpool9 on 8x8x3: (8 - 9 + 2*0)/9 + 1 = 0.89: the window is larger than its input
    maxpool9
    ^^^^^^^^ (a smaller window, more padding or larger images would fit)""",
    "avgpool3/2p2": """\
line 1, column 1: avgpool3/2p2 on 8x8x3: a padding of 2x2 is more than half the window
    avgpool3/2p2
    ^^^^^^^^^^^^ (pad at most half of it)""",
    "tconv1-4p5": """\
line 1, column 1: tconv1-4p5 on 8x8x3: the output would be -2x-2
    tconv1-4p5
    ^^^^^^^^^^ (less padding would fit)""",
    "conv3-64g2": """\
line 1, column 1: conv3-64g2 on 8x8x3: 2 groups do not divide both 3 channels and 64 kernels
    conv3-64g2
    ^^^^^^^^^^ (choose groups that divide both)""",
    "reshape4x4x4": """\
line 1, column 1: reshape4x4x4 on 8x8x3: 192 values do not make 4x4x4, which has 64
    reshape4x4x4
    ^^^^^^^^^^^^ (choose sides whose product is 192)""",
    "fc-10 conv3-8": """\
line 1, column 7: conv3-8 on 10: this needs height and width
    fc-10 conv3-8
          ^^^^^^^ (put a reshape before it)""",
    "unpool2": """\
line 1, column 1: unpool2 on 8x8x3: no maxpool before it is left to undo
    unpool2
    ^^^^^^^ (put the maxpool that it undoes before it, in the same branch or outside)""",
    "maxpool2 unpool3": """\
line 1, column 10: unpool3 on 4x4x3: the maxpool to undo is maxpool2
    maxpool2 unpool3
             ^^^^^^^ (write unpool2)""",
    "maxpool2 conv3-9 unpool2": """\
line 1, column 18: unpool2 on 4x4x9: the maxpool to undo, maxpool2, gave 4x4x3
    maxpool2 conv3-9 unpool2
                     ^^^^^^^ (bring 4x4x3 back before it)""",
    "(maxpool2 nearest2 | unpool2)": """\
line 1, column 22: unpool2 on 8x8x3: no maxpool before it is left to undo
    (maxpool2 nearest2 | unpool2)
                         ^^^^^^^ (put the maxpool that it undoes before it, in the same branch or \
outside)""",
    "(conv3-8 + conv3-9)": """\
line 1, column 1: branch 1 gives 8x8x8 and branch 2 gives 8x8x9: they cannot be added
    (conv3-8 + conv3-9)
    ^ (all branches must give the same volume)""",
    "(conv3-8 | maxpool2)": """\
line 1, column 1: branch 1 gives 8x8x8 and branch 2 gives 4x4x3: they cannot be concatenated
    (conv3-8 | maxpool2)
    ^ (all branches must give the same height and width)""",
    "u(n) = conv3-n (conv3-n/2 + skip)\nrelu u(4)": """\
line 1, column 16: branch 1 gives 4x4x4 and branch 2 gives 8x8x4: they cannot be added (in u(4))
    u(n) = conv3-n (conv3-n/2 + skip)
                   ^ (all branches must give the same volume)""",
    "[nearest9999]*4": """\
line 1, column 2: nearest9999 on 79992x79992x3: 799840008x799840008x3 values for one image are \
too many
    [nearest9999]*4
     ^^^^^^^^^^^ (use a smaller factor, or pool before it)""",
}


@pytest.mark.parametrize("text", WRONG)
def test_the_whole_error_of_a_wrong_text(text: str) -> None:
    with pytest.raises(NetError) as error:
        parse_net(text).summary((8, 8, 3))
    assert str(error.value) == WRONG[text]


def test_an_error_knows_its_line_and_column() -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net("relu\nfc-3\n  cnv3-3")
    assert (error.value.line, error.value.column) == (3, 3)
    assert error.value.status == 2
    assert error.value.kind == "net"


def test_a_long_line_is_shown_around_the_caret() -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net("relu " * 60 + "rleu" + " relu" * 60)
    message, shown, caret = str(error.value).split(" (did")[0].split("\n")
    assert len(shown) <= 94
    assert shown[caret.index("^") :].startswith("rleu")
    assert "column 301" in message


def test_an_error_holds_no_control_characters() -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net("\x1b[31mrelu")
    assert "\x1b" not in str(error.value)
