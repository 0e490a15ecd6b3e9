from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("prelabels", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="prelabeller",
            name="trust",
            field=models.CharField(
                choices=[("inside", "inside"), ("outside", "outside")], default="outside", max_length=10
            ),
        ),
    ]
