package main

import (
	"bytes"
	"testing"
)

// TestARecordHasWhatTheTableHas: on a terminal that is too narrow for a table, each row is
// lines of a name and a value; what is empty is left out, and nothing moves the cursor.
func TestARecordHasWhatTheTableHas(t *testing.T) {
	columns := []column{left("payment"), right("amount"), left(""), left("why"), left("asked at")}
	rows := [][]string{{"pay_1", "12.50", "CNY", "", "06:28"}, {"pay_2", "5", "JPY", "sus\x1b[2Jpended", "06:29"}}
	want := "payment   pay_1\namount    12.50 CNY\nasked at  06:28\n\n" +
		"payment   pay_2\namount    5 JPY\nwhy       sus·[2Jpended\nasked at  06:29\n"
	if got := drawRecords(columns, rows); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := widest(drawTable(columns, rows)); got != 45 {
		t.Errorf("the table is %d wide", got)
	}
	var b bytes.Buffer
	if showTable(&b, columns, nil); b.String() != "payment  amount    why  asked at\nnone\n" { // no terminal: a table
		t.Errorf("%q", b.String())
	}
}
