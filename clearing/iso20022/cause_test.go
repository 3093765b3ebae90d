package iso20022

import "testing"

func TestTheCauseOfARefusalIsReadOffItsCodes(t *testing.T) {
	for reason, want := range map[string]Cause{
		"":                                 CauseMoney,
		"no idea":                          CauseMoney,
		"AM04 not enough money":            CauseMoney,
		"AC06":                             CauseMoney,
		"TM01":                             CauseForm,
		"TM01 after cut-off":               CauseForm,
		"DT01 invalid date; NARR see note": CauseMoney, // one that is not known
		"DT01 invalid date; AM04":          CauseMoney,
		"DT01; RC01 bad BIC":               CauseForm,
		"AC02: no such debtor account":     CauseForm,
		"AM05":                             CauseTwice,
		"DUPL duplicate; AM04":             CauseTwice,
	} {
		if got := (&Status{Reason: reason}).Cause(); got != want {
			t.Errorf("%q: %d, want %d", reason, got, want)
		}
	}
}
