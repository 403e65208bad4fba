# Beside the flow: results for other systems. Of each patient a FHIR R4B bundle and a table of all numbers, of all
# samples a laboratory domain. The records of what they were made from lie beside them (*.origin.json).


rule exchange:
    input:
        collect("<results>/exchange/{patient}.fhir.json", patient=study.patients),
        "<results>/exchange/study/lb.json",


rule exchange_patient:
    input:
        counts=of_patient("counts"),
        cascade=rules.simulate.output,
        prognosis=rules.prognose.output,
    output:
        fhir="<results>/exchange/{patient}.fhir.json",
        numbers="<results>/exchange/{patient}.csv",
        origin="<results>/exchange/{patient}.origin.json",
    log:
        "<logs>/exchange/{patient}.log",
    benchmark:
        "<benchmarks>/exchange/{patient}.tsv"
    params:
        settings=settings("exchange", of="patient"),
        code=code("exchange"),
    shell:
        "ctcascade exchange --settings {params.settings:q} --counts {input.counts:q} --cascade {input.cascade:q}"
        " --prognosis {input.prognosis:q} --fhir {output.fhir:q} --numbers {output.numbers:q}"
        " --origin {output.origin:q} 2> {log:q}"


# A command line cannot hold the names of all results once there are some hundred samples.
rule list_exchanged:
    input:
        template=ARGUMENTS,
        counts=of_samples("counts", study.samples),
    output:
        temp("<results>/exchange/study/lb.args"),
    log:
        "<logs>/exchange/list.log",
    params:
        settings=settings("dataset"),
        code=code("dataset"),
    template_engine:
        "jinja2"


rule exchange_study:
    input:
        rules.list_exchanged.output,
    output:
        dataset="<results>/exchange/study/lb.json",
        origin="<results>/exchange/study/lb.origin.json",
    log:
        "<logs>/exchange/study.log",
    benchmark:
        "<benchmarks>/exchange/study.tsv"
    params:
        settings=settings("dataset"),
        code=code("dataset"),
    shell:
        "ctcascade dataset @{input:q} --out {output.dataset:q} --origin {output.origin:q} 2> {log:q}"
