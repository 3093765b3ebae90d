package optimise_test

import (
	"fmt"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/optimise"
)

// A gridlock: each waits for the other's payment. North lacks 2.00 for all that
// it queued, so its last item waits for the next window, and the rest settles.
func ExampleBechSoramaki() {
	q := optimise.Queue{
		Currency: tongma.CNY,
		Balances: []optimise.Balance{{Participant: "north", Minor: 500}},
		Items: []optimise.Item{
			{Debtor: "north", Creditor: "south", Minor: 1000},
			{Debtor: "south", Creditor: "north", Minor: 800},
			{Debtor: "north", Creditor: "south", Minor: 500},
		},
	}
	stuck, err := optimise.Gridlocked(q)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := optimise.BechSoramaki(q)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("gridlocked:", stuck)
	fmt.Println("settled:", r.Settled, tongma.Money{Minor: r.Value, Currency: r.Currency})
	fmt.Println("left:", r.Left)
	fmt.Println("balances:", r.Balances)
	// Output:
	// gridlocked: true
	// settled: [0 1] 18.00 CNY
	// left: [2]
	// balances: [{north 300} {south 200}]
}
