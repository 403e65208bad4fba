# Beside the flow: each patient's results for other systems, as a FHIR R4B bundle and as a table of all numbers.


rule exchange:
    input:
        collect("<results>/exchange/{patient}.fhir.json", patient=study.patients),


rule exchange_patient:
    input:
        counts=of_patient("counts"),
        cascade=rules.simulate.output,
        prognosis=rules.prognose.output,
    output:
        fhir="<results>/exchange/{patient}.fhir.json",
        numbers="<results>/exchange/{patient}.csv",
    log:
        "<logs>/exchange/{patient}.log",
    benchmark:
        "<benchmarks>/exchange/{patient}.tsv"
    params:
        settings=settings("report", of="patient"),
        code=code("report"),
    shell:
        "ctcascade exchange --settings {params.settings:q} --counts {input.counts:q} --cascade {input.cascade:q}"
        " --prognosis {input.prognosis:q} --fhir {output.fhir:q} --numbers {output.numbers:q} 2> {log:q}"
