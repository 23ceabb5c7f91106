"""People's spellings and turns of speech, and the plain words that mean the same."""

import re

_COLOR = "red|orange|yellow|green|blue|purple|pink|brown|black|white|gr[ae]y"
# "It's a street scene with two buses": what the picture is.
_SCENE = (
    "(?:it|this|that|here) is (?:just |only )?(?:an?|the) (?:[a-z]+ ){0,2}?(?:scene|photo|photograph|picture|image|"
    "shot|room|kitchen|street|park|beach|market|harbou?r|garden|office|zoo|playground)"
)
TURNS = tuple(
    (re.compile(rf"\b(?:{turn})\b"), plain)
    for turn, plain in (
        ("i did not hurry", "i took my time"),
        ("not that i (?:can )?(?:see|tell)", "no"),
        ("u", "you"),
        ("out of focus", "blurred"),
        ("half (?:of )?(?=the )", "some of "),
        ("(?:lower|further|farther) down(?= (?:you|i|we|there))|higher up(?= (?:you|i|we|there))", ""),
        (
            r"(?:perhaps|maybe|possibly) you (?:(?:were|are) (?:thinking|asking|talking|looking)"
            r"(?: (?:of|about|for|at))?|mean|meant)(?=[^.?!]*\?)",
            "do you mean",
        ),
        (
            r"(?:relative to|with respect to|as seen from|seen from|viewed from|"
            r"from the (?:point of view|perspective) of)(?= the)",
            "taking",
        ),
        ("(?:so |and |as |because |just )*(?:i )?(?:(?:would|just) )*(?:want|like|need) to be (?:sure|certain)", ""),
        ("who knows", "can not tell"),
        ("(?:i )?am not (?:an? )?(?:hundred|100)(?: percent| ?%)? (?:sure|certain)", "probably"),
        ("what an? (?:[a-z]+ )?(?:photo|photograph|picture|image|scene|shot) (?:with|of)", "there is"),
        (
            "(?:but |and )?(?:its|the) (?:color|shape|size|pattern) is (?:perfectly |quite |still )?"
            "(?:clear|visible|obvious)",
            "",
        ),
        (r"(?:to|on) the ([a-z]+) poss (left|right)", r"to the \2 of the \1"),
        (
            "if (?:that|this|it) (?:is|was) (?:the )?(?:shape|one|object|thing|what|which)(?: that)? you "
            "(?:(?:were|are) (?:thinking|asking|talking|after)(?: (?:of|about))?|meant|mean|had in mind)",
            "if you mean it",
        ),
        ("(?:i )?(?:really )?do(?: not|nt) (?:really )?(?:think|believe) so", "no"),
        ("i (?:think|believe|guess|suppose|would say) so", "yes"),
        ("am not (?:seeing|finding|spotting|noticing)", "do not see"),
        (
            "(?:your|the) question (?:mentions|is about|refers to|asks about|speaks of|talks about|assumes|"
            "presupposes)",
            "i looked for",
        ),
        (
            "(?:that|which) (?:i|we) (?:can |could )?(?:see|find|spot|notice|make out|detect)"
            "(?= ?[.,;:!?]|$| in | here)",
            "",
        ),
        (
            "are you after|are you interested in|do you care about|would you like(?: to know)?(?= the| its)",
            "do you mean",
        ),
        ("(?:nearer|closer)(?: to)?", "near"),
        ("(?:stainless )?steel|chrome", "silver"),
        ("which (?:puts|places|makes|leaves) (it|them|that)", r"so \1 is"),
        (
            r"(?:so |and |thus )?(?:the|your) question does not (?:quite |really )?(?:work|apply|make sense|hold|fit)"
            r"[^.,;!?]*",
            "",
        ),
        ("on the same page|may be off(?: a little| a bit| slightly| by a little)?", ""),
        (r"i was(?: not|nt| un) ?sure (?:if|whether|what|which)[^.,;()]*", ""),
        (r"(?:one|two|three|four|five|\d) of each", "some objects"),
        (
            "(?:would |had )?rather not (?:guess|say|commit)|(?:will not|not going to|do not want to) guess",
            "can not tell",
        ),
        ("(?:can not|not able to|unable to) settle(?: that| this| it)?", "can not tell"),
        (r"looking at (?=the (?:lower|upper|left|right|top|bottom|middle))", "at "),
        (
            r",? with an? (?:thin |thick |little |small |narrow |wide )?(?:[a-z]+ )?"
            r"(?:stripe|band|trim|rim|lid|handle|strap|logo)s?"
            r"(?: (?:along|on|across|around|down|at) (?:the|its) [a-z]+)?",
            "",
        ),
        (
            "(?:youre|ur|your)(?= (?:after|on about|talking|asking|looking|thinking|referring|interested|getting at|"
            "meaning|going for|right|correct)\\b)",
            "you are",
        ),
        ("ur", "your"),
        ("im(?! m)", "i am"),
        ("w", "with"),
        ("(?<=[a-z]) ish", ""),
        ("all but(?= (?:the|one|for|that)\\b)", "all except"),
        ("half ?way(?= ?[.,;]| ?$)", "middle"),
        ("btm", "bottom"),
        ("ctr", "center"),
        ("lil", "little"),
        ("(?:so )?(?:the question|it|there) (?:has|is) no (?:single|unique|one|clear) answer", "it depends"),
        ("info", "information"),
        ("rly|ngl|fr|atm|ofc|lmao|smh|tho|yk|iirc|afaict|afaik", ""),
        ("idk|beats me|search me|(?:who|god|heaven|goodness) (?:really )?knows", "can not tell"),
        ("(?:is|poss|remains|stays) (?:still )?(?:an? )?(?:complete |total )?(?:mystery|secret|puzzle)", "is unknown"),
        ("(?:aint|ai not)(?! no\\b| any\\b)", "is not"),
        ("(?:i am |am )?not (?:seeing|finding|spotting|detecting)", "can not see"),
        ("bar(?= (?:the|that|this|for|one)\\b)", "except"),
        (r", ((?:the )?[a-z]+(?: [a-z]+)?) too(?= ?[.,;]| except|$)", r", like \1"),
        (r"(?:and )?(?:the )?same (?:goes )?(?:for|with)(?= (?:the|that)\b)", "like"),
        ("(?:is |are )?(?:any(?:one|body)|every(?:one|body))(?: is| poss)? guess", "can not be determined"),
        ("down there", "at the bottom"),
        ("up there", "at the top"),
        (
            "(?:hidden|covered|obscured|blocked|occluded) (?:completely |fully )?(?:by|behind|under|underneath) "
            "(?:the|an?|that) (?:[a-z]+ ){0,2}?(?:star|square|circle|triangle|heart|diamond|hexagon|cross|blob|blur)",
            "hidden",
        ),
        (
            "(?:no|not any|not an?) (?:object|shape|thing|item|figure|word|color|colour)s? "
            "(?:is |that is |of the )?(?:named|called|labell?ed|name) (?:an? |the )?(?=[a-z]+)",
            "no ",
        ),
        (
            "some ?things? (?:is )?(?:over|covering|blocking|hiding|in front of|on top of|in the way of) "
            "(?:it|them|that)",
            "can not tell",
        ),
        ("you (?:are )?(?:after|on about|getting at|going for)", "you mean"),
        ("teh", "the"),
        ("n", "and"),
        ("r", "are"),
        ("tehre|ther|thier", "there"),
        ("nothin", "nothing"),
        ("somethin", "something"),
        ("wich|whcih|wihch", "which"),
        ("whats", "what is"),
        ("wheres", "where is"),
        ("bout", "about"),
        ("(?:im |i am )?(?:gonna|wanna|going to|want to) (?:say|go with)", ""),
        ("sry|soz|sorry", ""),
        (r",? ?(?<!the )(?<!a )(?<!that )(?:dude|bud|buddy|bro|bruh|pal|fam|sir|boss|chief)(?= ?[.!?,]| ?$)", ""),
        ("ai not no|aint no|ai not any|aint any", "there is no"),
        (
            r"(?<!\bor )(?<!\bor it )(?:could|can|may|might) be (?:anything|whatever|any (?:color|colour|shape|size))",
            "can not be determined",
        ),
        (r"(?:way |far |just |all )*too (?:blurry|blurred|fuzzy|hazy|smudged|smudgy)(?! to\b)", "can not tell"),
        (r"if (that|the|this) ((?:(?!\bif\b)[a-z ]){3,30}?) counts", r"if you mean \1 \2 :"),
        ("(?:one|a|two|three) more(?= [a-z]+ (?!than))", "another"),
        ("rn|tbh|m8|mate|innit|lol|haha|imo|imho", ""),
        ("pls|plz", "please"),
        ("dunno|do not know", "can not tell"),
        ("wdym", "what do you mean"),
        ("theres", "there is"),
        (
            "its(?= (?:an?|the|not|in|on|at|up|down|just|prob|all|both|only|too|hard|wrapped|blurred|red|orange|"
            "yellow|green|blue|"
            "purple|pink|brown|black|white|gr[ae]y|yelow|big|small|large|tiny|round)\\b)",
            "it is",
        ),
        ("thats", "that is"),
        ("thatd be|that would be", "that is"),
        ("(they|you)re", r"\1 are"),
        ("dont", "do not"),
        ("doesnt", "does not"),
        ("isnt", "is not"),
        ("arent", "are not"),
        ("couldnt", "can not"),
        ("wont", "will not"),
        ("id say", ""),
        ("em|'em", "them"),
        ("gonna", "going to"),
        ("kinda|sorta|kind of|sort of", ""),
        (
            "(?:there is |i have |i see )?no (?:chance|way|means) (?:for (?:me|us|anyone) )?(?:of|to) "
            "(?:know(?:ing)?|tell(?:ing)?|say(?:ing)?|see(?:ing)?|compar(?:e|ing)|decid(?:e|ing)|find(?:ing)? out)",
            "can not tell",
        ),
        (
            "(?:i )?(?:have to|must|need to|would) leave (?:it|this|that|the (?:question|answer|matter)) open",
            "i can not tell",
        ),
        ("(?:i would|it would) (?:only|just) be (?:guessing|a guess)(?: at| about)?", "i can not tell"),
        (
            "(?:you (?:would |will )?(?:have to|need to|gotta|got to|must|should)|i (?:would )?need you to)"
            "(?= (?:be more|tell|specify|say|point|narrow|clarify|describe|name|indicate))",
            "please",
        ),
        ("(?:the )?(?:answer|result) (?:differs|varies|changes)(?: from [a-z]+ to [a-z]+)?", "it depends"),
        (
            "unless i (?:am|have) (?:missing|missed|overlooking|overlooked|mistaken)(?: something| one| it| anything)?"
            "(?: ?,)?",
            "",
        ),
        ("there (?:is|are) not any(?= ?[.,;!?]| ?$)", "there is none"),
        (
            r"(the [a-z ]{3,30}?) (?:stands out|catches (?:the|my) eye)(?: (?:the )?(?:most|first|best))?",
            r"i take you to mean \1",
        ),
        ("at least (?=for |if |not )", ""),
        ("(?:is )?not answerable", "can not tell"),
        ("(?:remains|stays|is left) open", "is unknown"),
        ("(?:the )?answers? (?:is|are) not the same(?: for (?:all|every|each)[a-z ]*)?", "it depends"),
        ("without (?:finding|seeing|spotting) (?:an? |any )?", "and see no "),
        ("lacks(?: an?| any)?", "has no"),
        ("(?:is|are) not (?:among|one of) (?:them|these|those)", "is missing"),
        ("being (?=the (?:larg|small|bigg))", ""),
        (
            r"(?:most likely |probably |presumably )?it is (the [a-z ]{3,30}?) (?:that )?"
            r"you (?:want|mean|are (?:after|asking about|interested in))",
            r"i take you to mean \1",
        ),
        (
            r"(the [a-z ]{3,30}?) is (?:by far )?the most (?:prominent|noticeable|striking)(?: one)?(?= ?[.,;]| ?$)",
            r"i take you to mean \1",
        ),
        ("(?:is|would be) my answer", ""),
        ("its (?:counterpart|twin|sibling)", "the other one"),
        ("no (?:clue|idea)", "can not tell"),
        ("(?:is|are|was|am) unable to|am not able to|(?:is|are) not able to|fail(?:s|ed)? to|could not", "can not"),
        (
            "can not be (?:made out|worked out|figured out|settled|compared|counted|answered|recovered|inferred|given|"
            "stated|discerned|verified|resolved|established|decided)",
            "can not be determined",
        ),
        ("(?:make|figure|work) (?:it )?out", "tell"),
        ("to (?:the )?(?:upper|top) (?:of )?(?=left|right)", "top "),
        (
            "instead of|as opposed to|in contrast to|compared (?:to|with)|in comparison (?:to|with)|as against",
            "unlike",
        ),
        (
            "apart from|aside from|other than|with the exception of|except for|save for|not counting|leaving out",
            "except",
        ),
        ("as well as|along ?side|together with|plus", "and"),
        ("out of", "of"),
        ("among|amongst", "of"),
        ("either (?:of|one)", "either"),
        ("made up of|composed of|consist(?:s|ing) of|comprises?", "contains"),
        (
            "in front of|close to|closest to|nearest to|adjacent to|next to|right beside|right by|"
            "bordering|surrounded by",
            "near",
        ),
        ("touching|overlap(?:s|ping)(?: with)?|covering|stacked on|on top of(?! (?:that|this|it all)\\b)", "overlap"),
        (r"near(?= the (?:very )?(?:top|bottom|left|right|center|centre|middle|upper|lower)\b)", "at"),
        (r"over(?= (?:on|in|at|to|there|by|near|beside|next|against)\b)", ""),
        (r"(?<=can )spot|(?<=not )spot|to spot", "see"),
        (r"my (?:reading|interpretation)(?: is)? ?:?", "i take you to mean "),
        ("(?:look|seem|appear)s? like", "is"),
        (
            "on the other hand|by the way|"
            "(?:in case|if) that (?:helps|is of (?:any )?(?:use|help|interest))|as it happens|in fact|of course|as "
            "far as i can see",
            "",
        ),
        ("^nowhere", "there is none ,"),
        (
            "(?:if|in case|should|unless) you(?: (?:are|were|re|r))? (?:talking|asking|looking|thinking|curious|"
            "interested|after|meant)"
            "(?: (?:about|at|of|for|to|in))?",
            "if you mean",
        ),
        (
            r"(?:if|in case|assuming|supposing|provided) (the [a-z ]{3,40}?) (?:was|is|were) "
            r"(?:meant|what you (?:mean|meant)|the one you (?:mean|meant))",
            r"if you mean \1 :",
        ),
        (
            r"(the [a-z -]{3,40}?) ?, which i (?:suppose|assume|guess|think|take it) is "
            r"(?:yours|the one you (?:mean|meant|care about|want)) ?,?",
            r"i take you to mean \1 : it",
        ),
        (
            "(?:so |and )?the (?:correct |right |final )?answer (?:is|would be)(?: then)?|(?:that|this|which) "
            "(?:makes|gives|leaves)",
            " : ",
        ),
        ("rather than", ", not"),
        ("golden yellow", "yellow"),
        ("(?:nearest|closest)(?: to)?(?= (?:the|its|his|her) )", "near"),
        (
            "the (?:closest|nearest|next best)(?: thing| match| shape| object)?(?: (?:here|i see|i can see))?"
            "(?: to (?:it|that|this|an? [a-z]+))? is",
            "there is",
        ),
        (r"step \d+ ?[:.,)]?", ""),
        ("furthest|farthest", "far"),
        ("(?:half|partly|partially) (?:hidden|covered|obscured|blocked|occluded|cut off) (?:by|behind)", "near"),
        (
            r"(the [a-z -]{3,40}?) is the one (?:that )?i (?:looked at|took|chose|picked|went (?:with|for)|assumed|"
            r"considered|am (?:looking at|talking about|going by|describing))",
            r"i take you to mean \1 :",
        ),
        (_SCENE + " (?:with|of|showing|that shows|where there (?:is|are))", "there is"),
        (_SCENE, ""),
        (
            rf"(?<=(?:red|own|ack|ite|een|lue|low|ink|rey|ray|ple|nge)) with (?:{_COLOR}) (?=stripes|dots|spots)",
            " with ",
        ),
        ("(?:is )?not possible to (?:see|tell|say|know|make out)", "can not tell"),
        (
            "(?:read |reading |going |listed |counted |in order )?(?:from )?(?:the )?(?:top|left|right|bottom)"
            "(?: side)? to (?:the )?(?:top|left|right|bottom)",
            "",
        ),
        ("is not an? (?:color|colour|word|shape|term|name|thing) (?:that )?(?:i|we|anyone) (?:know|recogni[sz]e)", ""),
        ("(?:searched|checked|scanned) (?:the (?:picture|image|photo|scene) )?for", "looked for"),
        ("such as [a-z ]+", ""),
        (r"to the (?=(?:far )?(?:left|right) *(?:[,.;:!?)]|$|and |or |in |is |there |then |with ))", "on the "),
        (
            "(?:to be|as|is) (?:what|the one|which) you (?:have|had) in mind",
            "as the one you mean",
        ),
        ("you (?:have|had) in mind", "you mean"),
        ("(?:you )?can not miss (?:it|them|him|her)", ""),
        ("(?:up high|high up)(?! in)", "at the top"),
        ("(?:down low|low down)", "at the bottom"),
        ("(?:at|on) (?:each|either|both) sides? of", "near"),
        ("half ?way (?:up|down|between top and bottom|between the top and the bottom)", "middle"),
        ("mid height|at half height|vertically centered|midway(?: down| up)?", "middle"),
        (r"too (\w+)(?: for (?:me|us|anyone))? to (?=identify|tell|say|know|recogni[sz]e|see)", r"\1 , can not "),
        (r"whatever (color|shape|size|pattern) (the [a-z ]{3,30}?|it) has", r"the \1 of \2"),
        ("(?:going )?(?:row by row|one by one|one after (?:the other|another)|in turn)", ""),
        (
            "here is (?:what|all that) (?:the (?:picture|image|photo) (?:contains|shows|has)|(?:i|we) (?:can "
            ")?(?:see|find|found))",
            "",
        ),
        ("(?:occupies|fills|takes up)(?= the)", "is at"),
        ("as the (?:subject|target|object|topic|one) (?:of (?:your|the) question|you (?:mean|meant)|in question)", ""),
        (r"(?:i )?(?:would|can|could|will) (?:place|put|locate) (it|them|that one)", r"\1 is"),
        (
            "to (?:describe|compare|speak of|talk about|report|mention|work with|go by|judge by|hold "
            "against)(?= it|$| ?[.,;])",
            "",
        ),
        (r"(?<=[a-z] )\(? ?(?:x|×|\\times) ?(\d+) ?\)?", r"( \1 )"),
        ("filled (?:in )?with", "with"),
        ("(?:may|might|could) (?:well )?or (?:may|might|could) not(?= be)", "might"),
        ("can not answer(?: that| this| it)?(?! (?:for|about)\\b)", "can not tell"),
        ("can not (?:give|provide|offer|state|compare)(?: you)?(?: the two| them| both)?", "can not tell"),
        ("(?:so |and )?(?:it|that|they|this|that one) (?:does|do) not count", ""),
        ("what (?:is|lies|hides) (?:beneath|underneath|below|behind|under)(?: it| the wrapping)?", "the color"),
        (r"(blurred|blurry|fuzzy|hazy)((?: [a-z]+)?) (?:spot|patch|mass)", r"\1\2 blob"),
        ("in there|in it(?= (?:is|are|was))", "here"),
        ("everything", "all things"),
        ("in all(?= ?[.,;:!?]| ?$)", ""),
        (
            "(?:an? |the )?(?:(?:exact|reliable|definite|certain|clear) )*(?:count|number|answer|comparison) "
            "(?:is|seems) (?:not |im)possible(?: here)?",
            "can not tell",
        ),
        (
            "(?:that |which )?(?:i|we|one|you) (?:can|could) (?:actually |clearly )?(?:see|make out|recogni[sz]e|spot)"
            "(?= (?:is|are|has|have|does|do) )",
            "",
        ),
        ("i (?:would )?(?:love|like|wish i could|be (?:glad|happy)) to (?:tell|help|answer)(?: you)?(?= ?,| but)", ""),
        (
            "can not (?:really |completely )?(?:exclude|rule (?:it|that|this|one)? ?out)(?: (?:it|that|this|one))?",
            "can not tell",
        ),
        (
            r"((?:all|each|every)(?: of)?(?: the)?(?: (?!is\b|are\b|was\b|ha(?:s|ve)\b|look)[a-z]+){1,3}) but (?=the )",
            r"\1 except ",
        ),
        (
            "(?:all )?the (?:rest|remainder)(?: of (?:the|this|these|that|those) (?:picture|image|photo|scene|"
            "objects|shapes|things|figures|items))?",
            "all other things",
        ),
        ("way|all the way", ""),
        ("at the very", "at the"),
        ("neither of", "none of"),
        (
            "is not (?:a )?part of (?:it|this|the)|is not (?:of|in|on|found in|present in)|does not (?:exist|"
            "appear|show up|occur)",
            "is missing",
        ),
        ("nowhere to be (?:seen|found)", "missing"),
        ("no such thing as an?", "no"),
        ("anywhere|at all|whatsoever|to be (?:found|seen)", ""),
        ("can spot|can see|can find|can count|can make out", "see"),
    )
)
