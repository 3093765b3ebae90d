package iso20022_test

import (
	"fmt"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
)

// A closed window is collected from its net debtors; the agent's answer says of
// each instruction whether it was settled.
func Example() {
	matrix := []clearing.Obligation{{Debtor: "bank-a", Creditor: "bank-b", Currency: tongma.CNY, Gross: 125_000, Count: 3}}
	sheet := clearing.Sheet{Window: 12, State: clearing.WindowClosed, Matrix: matrix, Hash: [32]byte{1}} // as Book.Sheet gives it
	sheet.Nets, sheet.Totals = clearing.Net(matrix)

	debits := clearing.Instruct(sheet)[:1]
	sent, err := iso20022.CreditTransfers(iso20022.Heading{
		ID:         iso20022.MessageKey(iso20022.Pacs009, debits),
		Created:    time.Date(2026, 11, 23, 15, 0, 5, 0, time.UTC),
		Date:       iso20022.Date{Year: 2026, Month: 11, Day: 23},
		System:     "TONGMA",
		Settlement: iso20022.Party{Other: "TONGMA", Account: iso20022.Account{Other: "SETTLEMENT-1"}},
		Parties:    map[tongma.ParticipantID]iso20022.Party{"bank-a": {BIC: "BKAACNBJ"}},
	}, debits)
	if err != nil {
		fmt.Println(err)
		return
	}

	answer, err := iso20022.StatusReport("ANSWER-1", sent.Created, sent.Definition,
		[]iso20022.Status{{Instruction: debits[0].ID, Original: sent.ID, Code: "ACSC"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	message, err := iso20022.Read(answer.XML)
	if err != nil {
		fmt.Println(err)
		return
	}
	status := message.Statuses[0]
	fmt.Println(debits[0].Amount, status.About(debits[0].ID), status.Outcome)
	// Output: 1250.00 CNY true approved
}
