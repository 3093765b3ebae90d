package iso20022

import "strings"

// Cause is what sort of reason an agent gives for a refusal, by the codes of the
// external code list of status reasons (ExternalStatusReason1Code).
type Cause uint8

// The causes. The zero Cause is the careful one for those who pay in the end: the
// debtor has not got the money, or may not use its account, or no code says more.
const (
	CauseMoney Cause = iota
	CauseForm        // the message is at fault, its date or hour, or whom it names: nobody is known to want money
	CauseTwice       // the agent says that it took the instruction before
)

// causes are the codes that are about the message. All others, known or not, are
// CauseMoney: as AM04 (insufficient funds), AC04 (account closed), AC06 (blocked).
var causes = map[string]Cause{
	"AM05": CauseTwice, "DUPL": CauseTwice, "DU01": CauseTwice, "DU02": CauseTwice, "DU03": CauseTwice, "DU04": CauseTwice, "DU05": CauseTwice,

	"AB01": CauseForm, "AB02": CauseForm, "AB03": CauseForm, "AB04": CauseForm, "AB05": CauseForm, "AB06": CauseForm, "AB07": CauseForm, "AB08": CauseForm, "AB09": CauseForm, "AB10": CauseForm, // aborted, timed out, offline
	"AC01": CauseForm, "AC02": CauseForm, "AC03": CauseForm, "AC09": CauseForm, "AC10": CauseForm, "AC11": CauseForm, "AC12": CauseForm, // account numbers and currencies
	"AG03": CauseForm, "AG09": CauseForm, "AG10": CauseForm, "AG11": CauseForm, // not supported; agents
	"AM01": CauseForm, "AM03": CauseForm, "AM09": CauseForm, "AM10": CauseForm, "AM11": CauseForm, "AM12": CauseForm, // amounts and sums
	"BE01": CauseForm, "BE04": CauseForm, "BE05": CauseForm, "BE06": CauseForm, "BE07": CauseForm, "BE08": CauseForm, // names
	"CH03": CauseForm, "CH04": CauseForm, "CH07": CauseForm, "CH10": CauseForm, "CH11": CauseForm, "CH13": CauseForm, "CH14": CauseForm, "CH16": CauseForm, "CH17": CauseForm, "CH19": CauseForm, "CH20": CauseForm, // execution dates, elements
	"CNOR": CauseForm, "DNOR": CauseForm, "CURR": CauseForm, "DS0H": CauseForm, "DS27": CauseForm,
	"DT01": CauseForm, "DT02": CauseForm, "DT03": CauseForm, "DT04": CauseForm, "DT05": CauseForm, "DT06": CauseForm, // dates
	"FF01": CauseForm, "FF02": CauseForm, "FF03": CauseForm, "FF04": CauseForm, "FF05": CauseForm, "FF06": CauseForm, "FF07": CauseForm, "FF08": CauseForm, "FF09": CauseForm, "FF10": CauseForm, "FF11": CauseForm, // format, system error
	"MD01": CauseForm, "MD02": CauseForm, "MD05": CauseForm, // mandates
	"RC01": CauseForm, "RC02": CauseForm, "RC03": CauseForm, "RC04": CauseForm, "RC05": CauseForm, "RC06": CauseForm, "RC07": CauseForm, "RC08": CauseForm, "RC09": CauseForm, "RC10": CauseForm, "RC11": CauseForm, "RC12": CauseForm, // who the parties are
	"RF01": CauseForm, "TM01": CauseForm, // reference; after the agent's own cut-off
}

// Cause tells what sort of reason a refusal has. Of several codes, one about money
// outweighs those about form, and that it was taken before outweighs all.
func (s *Status) Cause() Cause {
	form, money := false, false
	for _, part := range strings.Split(s.Reason, "; ") {
		code, _, _ := strings.Cut(part, " ")
		switch c, ok := causes[strings.TrimRight(code, ":,.")]; {
		case c == CauseTwice:
			return CauseTwice
		case ok:
			form = true
		case codeLike(code):
			money = true
		}
	}
	if form && !money {
		return CauseForm
	}
	return CauseMoney
}

// codeLike tells whether a word has the form of a code: four capital letters and digits.
func codeLike(s string) bool {
	return len(s) == 4 && !strings.ContainsFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') })
}
