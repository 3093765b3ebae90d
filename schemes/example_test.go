package schemes_test

import (
	"fmt"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
)

// A code that starts with 281 may be of Alipay in China or in Hong Kong. At a till
// in Hong Kong that pays in Hong Kong dollars, both are possible, and are asked in
// order.
func ExampleDirectory_Explain() {
	d, err := schemes.Parse(1, schemes.Sandbox())
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err := d.Decode("281012345678901234")
	if err != nil {
		fmt.Println(err)
		return
	}
	q := schemes.Query{Asker: "acq-harbour", Op: tongma.OpPay, Amount: tongma.Money{Minor: 12_50, Currency: tongma.HKD}, Country: "HK"}
	fmt.Println(d.Explain(code, q).Detail)

	q.Amount = tongma.Money{Minor: 40_000_00, Currency: tongma.HKD}
	answer := d.Explain(code, q)
	fmt.Println(answer.Detail)
	for _, t := range answer.Tried {
		fmt.Println("not", t.Scheme+":", t.Why)
	}
	// Output:
	// directory 1: alipay by num.alipay.281 (to be asked), alipayhk by num.alipayhk.281 (to be asked)
	// directory 1: alipay by num.alipay.281 (to be asked)
	// not alipayhk: alipayhk takes at most 30000.00 HKD in one payment
}
