"""What the demo's customers say, beside what they ask the help desk."""

HELP_DESK = (
    "You are the help desk of Riverbank Outdoor, a shop for tents, boots and bicycles. Answer in "
    "two or three sentences. Orders ship within two working days; returns are free for 60 days."
)

TRIAGE = (
    ("The zip of the tent broke on the first night.", "product"),
    ("I was charged twice for the same boots.", "billing"),
    ("The courier left my parcel in the rain.", "delivery"),
    ("The app closes whenever I open my basket.", "website"),
    ("Your colleague on the phone was wonderful, thank you!", "praise"),
    ("The refund you promised last week is still missing.", "billing"),
    ("The bicycle arrived with a bent wheel.", "product"),
    ("My discount code is not accepted at checkout.", "website"),
    ("The tracking page has said 'on its way' for nine days.", "delivery"),
    ("The invoice shows the wrong company name.", "billing"),
    ("These are the most comfortable boots I have owned.", "praise"),
    ("The stove smells of gas even when it is closed.", "product"),
)

CODE = (
    "Write a Python function that groups a list of orders by customer and sums their totals.",
    "Write a SQL query that lists the ten products with the most returns in the last month.",
    "Fix the bug in this Python function: def mean(xs): return sum(xs) / len(x)",
    "Write a JavaScript function that debounces another function by a number of milliseconds.",
    "Write a regex that matches an order number such as RB-2024-00017.",
    "Write a Python function that retries a call three times and doubles the wait each time.",
    "Write a bash script that deletes log files older than 30 days.",
    "Refactor this function into two smaller ones: def f(a): return [x * 2 for x in a if x > 0]",
)

CRITICAL = (
    "May we end the supply contract with our tent maker before its term, and what would it cost?",
    "Does our contract with the courier make them pay for parcels lost at the customer's door?",
    "A customer threatens a lawsuit over a broken stove. What must our first answer not say?",
    "Which data must we hand out under GDPR when a former customer asks what we store?",
)

GENERAL = (
    "Explain why a tent gets wet inside although it does not rain.",
    "What is the difference between down and synthetic filling?",
    "Compare disc brakes and rim brakes for a loaded touring bicycle.",
    "Name three things to check before a first night in the mountains.",
    "How warm should a sleeping bag be for October nights?",
    "Why do boots need to be broken in?",
    "List the knots that a beginner should know.",
    "Is it safe to cook inside a tent?",
    "Describe how to patch a bicycle tube on the road.",
    "What does a water column of 3,000 mm mean?",
)

FIRST_NAMES = ("Asha", "Ben", "Chloe", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas")
LAST_NAMES = ("Almeida", "Brandt", "Castillo", "Dubois", "Eriksen", "Fischer", "Grant", "Haddad")
CITIES = ("Oslo", "Porto", "Leeds", "Ghent", "Turin", "Graz", "Malmo", "Brest", "Cork", "Lodz")
GOODS = ("tent", "stove", "backpack", "lantern", "sleeping bag", "bicycle lamp", "rain jacket")

HANDBOOK = (
    "Section {n}. The {goods} shelf is counted every {weeks} weeks by whoever opens the shop.",
    "When a {goods} comes back unused, it returns to the shelf after one look at its seams.",
    "A customer from {city} may ask for delivery on a Saturday; it costs {price} and must be paid.",
    "Complaints about a {goods} are answered within {weeks} working days, even if by a question.",
    "The branch in {city} keeps {price} of small change and counts it in the evening.",
    "If two customers want the last {goods}, the one who asked first in writing gets it.",
    "Nobody promises a date for a {goods} before the supplier has confirmed it in writing.",
    "Repairs of a {goods} above {price} need the customer's word before work begins.",
)
