"""English words that the mock tells apart."""

_STOP = """
a about after again all also am an and another any anyone are as at back be because been but by can
can't cannot could did do does doesn't don't find for from get give go got had has have he her here
him his how i i'd i'll i'm i've if in into is isn't it it's its just let like make may me more most
must my need new no nor not now of off on one only or other our out over please put same see she
should so some such tell than that that's the their them then there these they this those through
to too try up us use very want was way we were what what's when where which while who whom why will
with won't would you you're your
"""
_POLAR = "is are am was were can could do does did will would should has have had may must"
_REASONING = """
why how explain compare prove derive analyse analyze evaluate design discuss justify contrast
summarise summarize
"""
_LOOKUP = "what when who where which whose define name list"
_PROGRAMMING = """
write implement fix refactor debug complete optimize optimise translate generate create code
function script program class method sql query python javascript typescript bash shell return
returns takes
"""
_TOOL_VERBS = """
get set find fetch lookup look search create make add list show send run call check do the a an of
for by in on to read write query use tool function api
"""

STOP = frozenset(_STOP.split())
POLAR = frozenset(_POLAR.split())
REASONING = frozenset(_REASONING.split())
LOOKUP = frozenset(_LOOKUP.split())
PROGRAMMING = frozenset(_PROGRAMMING.split())
TOOL_VERBS = frozenset(_TOOL_VERBS.split())
